import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pointsman.errors import PermanentError
from pointsman.settings import Settings
from pointsman.shipped.tasks.email import MailDeferred, MailNotConfigured, MailRefused, send_reminder_email
from pointsman_service.embedded.ports import free_port
from tests.integration.tasks.conftest import TASK_ID, Configure, assert_refused, run
from tests.peers.certificates import Certificate
from tests.peers.smtp import SMTPPeer

REMINDER: dict[str, Any] = {"to": "ada@example.org", "subject": "Größe prüfen", "message": "Please check the size — ü."}


def remind(**arguments: Any) -> Any:
    return run(send_reminder_email, **(REMINDER | arguments))


def lead_to(configure: Configure, peer: SMTPPeer, **more: Any) -> None:
    defaults = {"smtp_host": "127.0.0.1", "smtp_tls": "none", "smtp_sender": "Pointsman <noreply@shop.example>"}
    configure(smtp_port=peer.port, **(defaults | more))


@pytest.fixture
def peer(configure: Configure) -> Iterator[SMTPPeer]:
    with SMTPPeer() as server:
        lead_to(configure, server)
        yield server


def test_message_arrives_as_it_was_given(peer: SMTPPeer) -> None:
    result = remind(due_at="2026-12-01T09:30:00+01:00", cc=["bob@example.org"], reply_to="help@shop.example")
    (message,) = peer.messages()
    (envelope,) = peer.received
    assert result == {"message_id": f"<{TASK_ID}@shop.example>", "accepted": 2, "refused": {}}
    assert envelope.mail_from == "noreply@shop.example"
    assert envelope.rcpt_tos == ["ada@example.org", "bob@example.org"]
    assert message["From"] == "Pointsman <noreply@shop.example>"
    assert (message["To"], message["Cc"], message["Reply-To"]) == (
        "ada@example.org",
        "bob@example.org",
        "help@shop.example",
    )
    assert message["Subject"] == REMINDER["subject"]
    assert message["Message-ID"] == result["message_id"]
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"]
    assert message.get_content().splitlines() == [
        REMINDER["message"],
        "",
        "Due: Tuesday, 01 December 2026, 09:30 +01:00",
    ]


def test_html_is_the_alternative_of_the_text(peer: SMTPPeer) -> None:
    remind(html="<p>Grüße</p>")
    (message,) = peer.messages()
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert (plain.get_content().strip(), html.get_content().strip()) == (REMINDER["message"], "<p>Grüße</p>")


def test_second_attempt_carries_the_same_message_id(peer: SMTPPeer) -> None:
    peer.data_answers.append("451 try again later")
    with pytest.raises(MailDeferred, match="451 try again later"):
        remind()
    assert remind(attempt=2)["message_id"] == f"<{TASK_ID}@shop.example>"


def test_long_lines_and_dots_survive(peer: SMTPPeer) -> None:
    text = "x" * 5000 + "\n.\n..hidden\nFrom here"
    remind(message=text)
    assert peer.messages()[0].get_content().splitlines() == text.splitlines()


def test_recipients_that_are_refused_are_named_beside_those_that_are_not(peer: SMTPPeer) -> None:
    peer.refusals["gone@example.org"] = "550 no such user"
    result = remind(to=["ada@example.org", "gone@example.org"])
    assert (result["accepted"], result["refused"]) == (1, {"gone@example.org": "550 no such user"})
    assert peer.received[0].rcpt_tos == ["ada@example.org"]


def test_message_nobody_may_get_fails_for_good(peer: SMTPPeer) -> None:
    peer.refusals["ada@example.org"] = "550 no such user"
    with pytest.raises(MailRefused, match=r"ada@example\.org: 550 no such user"):
        remind()


def test_recipient_refused_for_now_fails_for_now(peer: SMTPPeer) -> None:
    peer.refusals |= {"ada@example.org": "450 mailbox busy", "gone@example.org": "550 no such user"}
    with pytest.raises(MailDeferred, match="450 mailbox busy"):
        remind(to=["ada@example.org", "gone@example.org"])


def test_message_refused_with_5xx_fails_for_good(peer: SMTPPeer) -> None:
    peer.data_answers.append("554 looks like spam")
    with pytest.raises(MailRefused, match="554 looks like spam"):
        remind()


def test_server_that_hangs_up_fails_for_now(peer: SMTPPeer) -> None:
    peer.hang_up = True
    with pytest.raises(smtplib.SMTPServerDisconnected):
        remind()


def test_server_that_is_away_fails_for_now(configure: Configure) -> None:
    configure(smtp_host="127.0.0.1", smtp_port=free_port(), smtp_tls="none", smtp_sender="a@b.example")
    with pytest.raises(ConnectionRefusedError):
        remind()


def test_unset_server_says_what_to_set(configure: Configure) -> None:
    with pytest.raises(MailNotConfigured, match="POINTSMAN_SMTP_HOST"):
        remind()


def test_encryption_that_the_server_lacks_fails_for_good(configure: Configure, peer: SMTPPeer) -> None:
    lead_to(configure, peer, smtp_tls="starttls")
    with pytest.raises(MailNotConfigured, match="STARTTLS"):
        remind()
    assert peer.received == []


@pytest.fixture(params=["starttls", "implicit"])
def secured(request: pytest.FixtureRequest, configure: Configure, tmp_path: Path) -> Iterator[SMTPPeer]:
    """A server with a certificate for ``localhost`` and one user."""
    certificate = Certificate.make(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    with SMTPPeer(context, implicit=request.param == "implicit", login=("mailer", "right")) as server:
        lead_to(
            configure,
            server,
            smtp_host="localhost",
            smtp_tls=request.param,
            smtp_ca_file=certificate.authority,
            smtp_user="mailer",
            smtp_password="right",
        )
        yield server


def test_message_is_sent_encrypted_after_login(secured: SMTPPeer) -> None:
    assert remind()["accepted"] == 1
    assert secured.logins == [b"mailer"]


def test_wrong_password_fails_for_good_and_is_not_shown(secured: SMTPPeer, configure: Configure) -> None:
    configure(smtp_password="wrong-password")
    with pytest.raises(MailRefused, match="535") as caught:
        remind()
    assert "wrong-password" not in str(caught.value)
    assert secured.received == []


def test_certificate_of_another_host_is_not_trusted(secured: SMTPPeer, configure: Configure) -> None:
    configure(smtp_host="127.0.0.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        remind()
    assert secured.logins == []


BAD: list[dict[str, Any]] = [
    {"to": "nobody"},
    {"to": "a@b@c.example"},
    {"to": "a b@example.org"},
    {"to": "ada@example.org\r\nBcc: x@y.example"},
    {"to": "ada@example.org, eve@example.org"},
    {"to": "Ada <ada@example.org>"},
    {"to": "ada@" + "x" * 260 + ".example"},
    {"to": []},
    {"to": ["a@b.example"] * 51},
    {"cc": ["no"]},
    {"reply_to": "no"},
    {"subject": ""},
    {"subject": "Hello\nBcc: x@y.example"},
    {"subject": "x" * 301},
    {"message": ""},
    {"due_at": "tomorrow"},
    {"due_at": "2026-12-01T09:30:00"},
    {"bcc": ["a@b.example"]},
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad)[:60])
def test_bad_argument_is_refused(bad: dict[str, Any], peer: SMTPPeer) -> None:
    assert_refused(send_reminder_email, **(REMINDER | bad))
    assert peer.received == []


def test_line_break_cannot_become_a_header_even_in_a_direct_call(peer: SMTPPeer) -> None:
    with pytest.raises(PermanentError, match="cannot be written"):
        send_reminder_email("ada@example.org", "Hello\nBcc: x@y.example", "text")
    assert peer.received == []


@pytest.mark.parametrize("sender", ["", "noreply", "a@b.example\r\nBcc: c@d.example", "<>", "Pointsman <>"])
def test_sender_that_is_no_address_is_refused_at_start(sender: str) -> None:
    with pytest.raises(ValueError, match="smtp_sender"):
        Settings(smtp_sender=sender)


def test_password_does_not_show_in_the_settings() -> None:
    ours = Settings(smtp_user="mailer", smtp_password="secret-word", mqtt_user="m", mqtt_password="secret-word")
    assert "secret-word" not in repr(ours)


def test_password_without_a_user_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="smtp_user"):
        Settings(smtp_password="x")
    with pytest.raises(ValueError, match="mqtt_user"):
        Settings(mqtt_password="x")
