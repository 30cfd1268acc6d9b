import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pointsman_service.alert.channels import Channels
from pointsman_service.alert.delivering import NotDelivered
from pointsman_service.channel_settings import EmailChannel
from pointsman_service.embedded.ports import free_port
from pointsman_service.settings import Settings
from tests.integration.alert.conftest import Alerting
from tests.integration.spine import Spine
from tests.peers.certificates import Certificate
from tests.peers.smtp import SMTPPeer
from tests.unit.alert.words import MESSAGE

AT = datetime(2026, 11, 26, 8, 30, tzinfo=UTC)
PASSWORD = "secret-word"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("certificate"), "localhost")


@pytest.fixture
def tls(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    return context


def mailbox(peer_port: int, **changes: Any) -> EmailChannel:
    good = {
        "kind": "email",
        "name": "mail",
        "host": "127.0.0.1",
        "port": peer_port,
        "tls": "none",
        "sender": "Pointsman <noreply@x.example>",
        "to": ["Ada <ada@x.example>", "bob@x.example"],
        "timeout_seconds": 5,
    }
    return EmailChannel.model_validate(good | changes)


async def deliver(channel: EmailChannel) -> Any:
    return await Channels(Settings(alert_channels=(channel,))).deliver("mail", "01a20271", AT, MESSAGE)


async def test_mail_says_what_since_when_and_what_to_do() -> None:
    with SMTPPeer() as peer:
        done = await deliver(mailbox(peer.port))
    (mail,) = peer.messages()
    assert mail["Subject"] == "[page] Alert: The oldest task on email has been due for 9 s and not started."
    assert (mail["From"], mail["To"]) == ("Pointsman <noreply@x.example>", "Ada <ada@x.example>, bob@x.example")
    assert mail["Message-ID"] == "<01a20271@x.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "Next: Start more workers." in mail.get_content()
    assert peer.received[0].rcpt_tos == ["ada@x.example", "bob@x.example"]
    assert (done.status, done.note) == ("taken for 2", None)


@pytest.mark.parametrize("implicit", [False, True])
async def test_mail_is_sent_over_tls_after_logging_in(
    certificate: Certificate, tls: ssl.SSLContext, implicit: bool
) -> None:
    with SMTPPeer(tls=tls, implicit=implicit, login=("ada", PASSWORD)) as peer:
        kind = "implicit" if implicit else "starttls"
        options = {"host": "localhost", "tls": kind, "ca_file": certificate.authority}
        await deliver(mailbox(peer.port, user="ada", password=PASSWORD, **options))
        assert len(peer.messages()) == 1
        with pytest.raises(NotDelivered) as caught:
            await deliver(mailbox(peer.port, user="ada", password="wrong-" + PASSWORD, **options))
    assert caught.value.status == "SMTP 535"
    assert PASSWORD not in caught.value.reason


async def test_server_whose_certificate_is_not_trusted_gets_nothing(tls: ssl.SSLContext) -> None:
    with SMTPPeer(tls=tls) as peer, pytest.raises(NotDelivered):
        await deliver(mailbox(peer.port, host="localhost", tls="starttls"))
    assert peer.received == []


async def test_server_without_tls_gets_nothing_that_asks_for_it() -> None:
    with SMTPPeer() as peer, pytest.raises(NotDelivered):
        await deliver(mailbox(peer.port, tls="starttls"))
    assert peer.received == []


async def test_server_that_refuses_one_recipient_has_the_message_for_the_others() -> None:
    with SMTPPeer(refusals={"bob@x.example": "550 no bob here"}) as peer:
        done = await deliver(mailbox(peer.port))
    assert (done.status, done.note) == ("taken for 1", "not taken for bob@x.example: 550 no bob here")
    assert len(peer.received) == 1


async def test_server_that_refuses_all_is_not_delivered_to() -> None:
    refusals = dict.fromkeys(("ada@x.example", "bob@x.example"), "451 later")
    with SMTPPeer(refusals=refusals) as peer, pytest.raises(NotDelivered, match="451 later") as caught:
        await deliver(mailbox(peer.port))
    assert caught.value.status == "SMTP 451"


async def test_server_that_hangs_up_is_not_delivered_to() -> None:
    with SMTPPeer(hang_up=True) as peer, pytest.raises(NotDelivered):
        await deliver(mailbox(peer.port))


async def test_server_that_is_away_is_not_delivered_to() -> None:
    with pytest.raises(NotDelivered):
        await deliver(mailbox(free_port()))


async def test_mail_that_was_refused_is_sent_again_with_the_same_message_id(
    closed_spine: Spine, tmp_path: Path
) -> None:
    with SMTPPeer(data_answers=["451 not now"]) as peer:
        alerting = Alerting(closed_spine, mailbox(peer.port))
        await alerting.trip()
        await alerting.look()
        (before,) = await alerting.deliveries()
        assert (before["status"], before["last_status"]) == ("pending", "SMTP 451")
        await alerting.let_time_pass()
        await alerting.look()
    (delivery,) = await alerting.deliveries()
    (mail,) = peer.messages()
    assert (delivery["status"], delivery["attempts"]) == ("sent", 2)
    assert mail["Message-ID"] == f"<{delivery['id']}@x.example>"
