"""The guard: where calls go, and when they end."""

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pointsman import ExternalAPITask, PermanentError, task
from pointsman.outbound import client, connection
from pointsman.outbound.calls import Outbound, UnsupportedURL
from pointsman.outbound.connection import TargetRefused
from pointsman.outbound.deadline import DeadlinePassed
from tests.integration.tasks.conftest import Configure
from tests.peers.certificates import Certificate
from tests.peers.http import HTTPPeer, Reply

Resolve = Callable[[str], list[str]]


@task(name="outbound.caller", base=ExternalAPITask)
def caller() -> None: ...


@pytest.fixture
def outbound(configure: Configure) -> Outbound:
    found: Outbound = caller.http
    return found


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """A resolver: the answers of each name in turn. Addresses resolve to themselves."""
    known: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *args: Any, **options: Any) -> Any:
        if host not in known:
            return real(host, port, *args, **options)
        return [entry for address in known[host].pop(0) for entry in real(address, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "0.0.0.0", "0",
    ],
)  # fmt: skip
def test_spelling_of_this_machine_is_refused(outbound: Outbound, http_peer: HTTPPeer, host: str) -> None:
    with pytest.raises((TargetRefused, UnsupportedURL)) as caught:
        outbound.call("GET", f"http://{host}:{http_peer.port}/")
    assert http_peer.requests == []
    if isinstance(caught.value, TargetRefused):
        assert "POINTSMAN_ALLOW_PRIVATE_TARGETS" in str(caught.value)


def test_cloud_metadata_is_refused_for_good(outbound: Outbound) -> None:
    with pytest.raises(TargetRefused, match="metadata") as caught:
        outbound.call("GET", "http://169.254.169.254/latest/meta-data/")
    assert isinstance(caught.value, PermanentError)


def test_host_with_one_private_address_among_public_ones_is_refused(
    outbound: Outbound, names: dict[str, list[list[str]]]
) -> None:
    names["mixed.example"] = [["93.184.216.34", "10.0.0.7"]]
    with pytest.raises(TargetRefused, match=r"mixed\.example leads to 10\.0\.0\.7, a private address"):
        outbound.call("GET", "http://mixed.example/")


def test_address_that_was_checked_is_the_one_that_is_called(
    outbound: Outbound, http_peer: HTTPPeer, names: dict[str, list[list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(connection, "refusal", lambda address, _: checked.append(str(address)))
    http_peer.on("/", Reply(200, b"here"))
    # A second answer would lead elsewhere: a name that changes between check and use.
    names["rebinding.example"] = [["127.0.0.1"], ["192.0.2.1"]]
    answer = outbound.call("GET", f"http://rebinding.example:{http_peer.port}/")
    assert answer.content == b"here"
    assert checked == ["127.0.0.1"]
    assert names["rebinding.example"] == [["192.0.2.1"]]
    assert http_peer.requests[0].headers["host"] == f"rebinding.example:{http_peer.port}"


def test_lifted_guard_lets_private_targets_be_called(
    outbound: Outbound, http_peer: HTTPPeer, configure: Configure
) -> None:
    configure(allow_private_targets="true")
    http_peer.on("/", Reply(200, b"in"))
    assert outbound.call("GET", http_peer.url + "/").content == b"in"


def test_only_networks_that_are_named_are_reached_and_metadata_by_no_larger_one(
    outbound: Outbound, http_peer: HTTPPeer, configure: Configure
) -> None:
    http_peer.on("/", Reply(200, b"in"))
    configure(allow_private_targets="10.0.0.0/8, 127.0.0.1")
    assert outbound.call("GET", http_peer.url + "/").content == b"in"
    configure(allow_private_targets="10.0.0.0/8")
    with pytest.raises(TargetRefused, match="POINTSMAN_ALLOW_PRIVATE_TARGETS"):
        outbound.call("GET", http_peer.url + "/")
    configure(allow_private_targets="true")
    with pytest.raises(TargetRefused, match="keep their metadata"):
        outbound.call("GET", "http://169.254.169.254/latest/meta-data/")


def test_next_address_is_tried_when_one_does_not_answer(
    outbound: Outbound, http_peer: HTTPPeer, configure: Configure, names: dict[str, list[list[str]]]
) -> None:
    configure(allow_private_targets="true")
    http_peer.on("/", Reply(200, b"second"))
    names["two.example"] = [["127.0.0.2", "127.0.0.1"]]
    assert outbound.call("GET", f"http://two.example:{http_peer.port}/").content == b"second"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "file:///etc/passwd",
        "host/path",
        "http://",
        "http://[::1",
        "http://a:b:c/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:-1/",
        "http://a\n/",
    ],
)
def test_url_that_is_not_http_with_a_host_is_refused(outbound: Outbound, url: str) -> None:
    with pytest.raises(UnsupportedURL):
        outbound.call("GET", url)


def test_user_in_the_url_is_refused_and_not_repeated(outbound: Outbound) -> None:
    with pytest.raises(UnsupportedURL) as caught:
        outbound.call("GET", "http://ada:secret-word@example.org/")
    assert "secret-word" not in str(caught.value)


def test_proxy_of_the_environment_is_not_used(
    outbound: Outbound, http_peer: HTTPPeer, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(allow_private_targets="true")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    http_peer.on("/", Reply(200, b"direct"))
    assert outbound.call("GET", http_peer.url + "/").content == b"direct"


def test_url_is_not_logged(
    outbound: Outbound, http_peer: HTTPPeer, configure: Configure, caplog: pytest.LogCaptureFixture
) -> None:
    configure(allow_private_targets="true")
    http_peer.on("/", Reply())
    with caplog.at_level("INFO"):
        outbound.call("GET", http_peer.url + "/?token=secret-word")
    assert http_peer.requests[0].query == {"token": ["secret-word"]}
    assert "secret-word" not in caplog.text


def test_peer_that_drips_is_left_at_the_deadline(outbound: Outbound, http_peer: HTTPPeer, configure: Configure) -> None:
    configure(allow_private_targets="true")
    http_peer.on("/", Reply(200, drip=True, length=1000))
    with pytest.raises(DeadlinePassed, match=r"longer than 0\.5 s in all"):
        outbound.call("GET", http_peer.url + "/", read_seconds=10, total_seconds=0.5)


def test_peer_that_says_nothing_is_left_after_the_read_timeout(
    outbound: Outbound, silent_port: int, configure: Configure
) -> None:
    configure(allow_private_targets="true")
    with pytest.raises(httpx.ReadTimeout):
        outbound.call("GET", f"http://127.0.0.1:{silent_port}/", read_seconds=0.2)


def test_peer_that_is_away_fails_for_now(outbound: Outbound, configure: Configure) -> None:
    configure(allow_private_targets="true")
    with pytest.raises(httpx.ConnectError):
        outbound.call("GET", "http://127.0.0.1:1/")


def test_unknown_name_fails_for_now(outbound: Outbound) -> None:
    with pytest.raises(httpx.ConnectError, match=r"nowhere\.invalid cannot be resolved"):
        outbound.call("GET", "http://nowhere.invalid/")


@pytest.fixture
def tls_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configure: Configure, names: dict[str, list[list[str]]]
) -> Iterator[HTTPPeer]:
    """Shows a certificate for ``shop.example``, from an authority that is trusted."""
    configure(allow_private_targets="true")
    certificate = Certificate.make(tmp_path, "shop.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
    client._ssl_context.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    names["shop.example"] = names["other.example"] = [["127.0.0.1"]]
    with HTTPPeer(context) as peer:
        peer.on("/", Reply(200, b"private"))
        yield peer
    client._ssl_context.cache_clear()


def test_certificate_is_checked_for_the_name_and_not_the_address(outbound: Outbound, tls_peer: HTTPPeer) -> None:
    assert outbound.call("GET", f"https://shop.example:{tls_peer.port}/").content == b"private"
    assert tls_peer.names == ["shop.example"]


def test_certificate_of_another_name_is_refused(outbound: Outbound, tls_peer: HTTPPeer) -> None:
    with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
        outbound.call("GET", f"https://other.example:{tls_peer.port}/")
    assert tls_peer.requests == []
