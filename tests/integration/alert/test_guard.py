"""Where webhooks may go: nowhere but to public addresses, and exactly where the check looked."""

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pointsman_service.alert import guard
from pointsman_service.alert.channels import Channels
from pointsman_service.alert.delivering import Delivered, NotDelivered
from pointsman_service.channel_settings import WebhookChannel
from pointsman_service.settings import Settings
from tests.peers.certificates import Certificate
from tests.peers.http import HTTPPeer, Reply
from tests.unit.alert.words import MESSAGE, webhook

AT = datetime(2026, 11, 26, 8, 30, tzinfo=UTC)


async def deliver(channel: WebhookChannel, *, allow_private: bool = False) -> Delivered:
    settings = Settings(alert_channels=(channel,), alert_allow_http=True, alert_allow_private_targets=allow_private)
    return await Channels(settings).deliver("on-call", "01a20271", AT, MESSAGE)


@pytest.fixture
async def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """A resolver: the answers of each name in turn. Addresses resolve to themselves."""
    known: dict[str, list[list[str]]] = {}
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def resolve(host: str, port: int, **options: Any) -> Any:
        if host not in known:
            return await real(host, port, **options)
        return [entry for address in known[host].pop(0) for entry in await real(address, port, **options)]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    return known


@pytest.fixture
def taking(http_peer: HTTPPeer) -> HTTPPeer:
    http_peer.on("/hook", Reply(200))
    return http_peer


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "0.0.0.0", "0",
    ],
)  # fmt: skip
async def test_spelling_of_this_machine_is_refused(taking: HTTPPeer, host: str) -> None:
    with pytest.raises((NotDelivered, ValidationError)) as caught:
        await deliver(webhook(url=f"http://{host}:{taking.port}/hook"))
    assert taking.requests == []
    if isinstance(caught.value, NotDelivered):
        assert "hook" not in caught.value.reason


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[fd00:ec2::254]", "10.0.0.1", "[64:ff9b::a9fe:a9fe]", "192.168.1.1"]
)
async def test_private_addresses_and_cloud_metadata_are_refused(host: str) -> None:
    with pytest.raises(NotDelivered, match="ALERT_ALLOW_PRIVATE_TARGETS") as caught:
        await deliver(webhook(url=f"http://{host}/latest/meta-data/"))
    assert caught.value.status == "refused by the guard"


async def test_cloud_metadata_is_refused_though_private_addresses_are_allowed() -> None:
    with pytest.raises(NotDelivered, match="keep their metadata"):
        await deliver(webhook(url="http://169.254.169.254/latest/meta-data/"), allow_private=True)


async def test_host_with_one_private_address_among_public_ones_is_refused(names: dict[str, list[list[str]]]) -> None:
    names["mixed.example"] = [["93.184.216.34", "10.0.0.7"]]
    with pytest.raises(NotDelivered, match=r"mixed\.example leads to 10\.0\.0\.7, a private address"):
        await deliver(webhook(url="http://mixed.example/"))


async def test_address_that_was_checked_is_the_one_that_is_called(
    taking: HTTPPeer, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(guard, "refusal", lambda address, _: checked.append(str(address)))
    # A second answer would lead elsewhere: a name that changes between check and use.
    names["rebinding.example"] = [["127.0.0.1"], ["192.0.2.1"]]
    await deliver(webhook(url=f"http://rebinding.example:{taking.port}/hook"))
    assert checked == ["127.0.0.1"]
    assert names["rebinding.example"] == [["192.0.2.1"]]
    assert taking.requests[0].headers["host"] == f"rebinding.example:{taking.port}"


async def test_redirect_is_not_followed(taking: HTTPPeer) -> None:
    taking.on("/away", Reply(302, headers={"Location": "/hook"}))
    with pytest.raises(NotDelivered, match="answered 302; redirects are not followed"):
        await deliver(webhook(url=f"{taking.url}/away"), allow_private=True)
    assert [request.path for request in taking.requests] == ["/away"]


async def test_answer_is_not_read_to_its_end(http_peer: HTTPPeer) -> None:
    http_peer.on("/hook", Reply(200, drip=True, length=10**9))
    done = await deliver(webhook(url=f"{http_peer.url}/hook", timeout_seconds=2), allow_private=True)
    assert done.status == "HTTP 200"


async def test_next_address_is_tried_when_one_does_not_answer(
    taking: HTTPPeer, names: dict[str, list[list[str]]]
) -> None:
    names["two.example"] = [["127.0.0.2", "127.0.0.1"]]
    await deliver(webhook(url=f"http://two.example:{taking.port}/hook"), allow_private=True)
    assert len(taking.requests) == 1


async def test_proxy_of_the_environment_is_not_used(taking: HTTPPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    await deliver(webhook(url=f"{taking.url}/hook"), allow_private=True)
    assert len(taking.requests) == 1


async def test_name_that_is_none_is_not_delivered_to() -> None:
    with pytest.raises(NotDelivered, match="cannot be resolved"):
        await deliver(webhook(url="http://nowhere.invalid/"))


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[tuple[HTTPPeer, Path]]:
    certificate = Certificate.make(tmp_path, "hooks.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    with HTTPPeer(context) as peer:
        peer.on("/hook", Reply(200))
        yield peer, certificate.authority


async def test_certificate_must_be_for_the_name_and_not_for_the_address(
    certified: tuple[HTTPPeer, Path], names: dict[str, list[list[str]]]
) -> None:
    peer, authority = certified
    names["hooks.example"], names["other.example"] = [["127.0.0.1"]], [["127.0.0.1"]]
    await deliver(webhook(url=f"https://hooks.example:{peer.port}/hook", ca_file=authority), allow_private=True)
    assert peer.names == ["hooks.example"]
    with pytest.raises(NotDelivered, match="certificate"):
        await deliver(webhook(url=f"https://other.example:{peer.port}/hook", ca_file=authority), allow_private=True)
    assert len(peer.requests) == 1


async def test_certificate_nobody_trusts_is_refused(
    certified: tuple[HTTPPeer, Path], names: dict[str, list[list[str]]]
) -> None:
    peer, _ = certified
    names["hooks.example"] = [["127.0.0.1"]]
    with pytest.raises(NotDelivered, match="certificate"):
        await deliver(webhook(url=f"https://hooks.example:{peer.port}/hook"), allow_private=True)
    assert peer.requests == []
