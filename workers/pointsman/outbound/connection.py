"""Connections that lead where the check looked: the name is resolved once, and its checked addresses are used."""

import socket
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import httpcore

from pointsman.errors import PermanentError
from pointsman.outbound.deadline import Deadline
from pointsman_contract.addresses import parse, refusal

_Target = tuple[socket.AddressFamily, Any]


class TargetRefused(PermanentError):
    """The host of the URL leads to an address that tasks may not call."""


class GuardedBackend(httpcore.NetworkBackend):
    """Opens the connections of one call.

    TLS and the Host header go on using the name, so a certificate must be for it.
    """

    def __init__(self, deadline: Deadline, allowed: Sequence[str]) -> None:
        self._deadline = deadline
        self._allowed = allowed

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - httpcore's name
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 - httpcore's name
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers.

        Raises ``TargetRefused`` when any address of the host is neither public nor of a network that is allowed.
        """
        targets = _resolve(host, port)
        _check(host, targets, self._allowed)
        return BoundedStream(self._open(targets, timeout), self._deadline)

    def _open(self, targets: list[_Target], timeout: float | None) -> socket.socket:
        error: OSError | None = None
        for family, address in targets:
            opened = socket.socket(family, socket.SOCK_STREAM)
            try:
                opened.settimeout(self._deadline.within(timeout))
                opened.connect(address)
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as failed:
                opened.close()
                error = failed
            except BaseException:
                opened.close()
                raise
            else:
                return opened
        kind = httpcore.ConnectTimeout if isinstance(error, TimeoutError) else httpcore.ConnectError
        raise kind(str(error)) from error


def _resolve(host: str, port: int) -> list[_Target]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(f"the name {host} cannot be resolved: {error}") from error
    except UnicodeError as error:
        raise TargetRefused(f"{host!r} is not the name of a host: {error}") from None
    return [(family, address) for family, _, _, _, address in found]


def _check(host: str, targets: list[_Target], allowed: Sequence[str]) -> None:
    for _, address in targets:
        what = refusal(parse(address[0]), allowed)
        if what is not None:
            raise TargetRefused(
                f"{host} leads to {address[0]}, {what}: tasks call public addresses only. "
                f"POINTSMAN_ALLOW_PRIVATE_TARGETS={address[0]} for the workers lifts this, or its network."
            )


class BoundedStream(httpcore.NetworkStream):
    """A connection whose every wait ends at the deadline."""

    def __init__(self, opened: socket.socket, deadline: Deadline) -> None:
        self._socket = opened
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """The next bytes; empty at the end."""
        self._socket.settimeout(self._deadline.within(timeout))
        try:
            return self._socket.recv(max_bytes)
        except TimeoutError as error:
            self._deadline.within(None)
            raise httpcore.ReadTimeout(f"no answer for {timeout} s") from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        rest = memoryview(buffer)
        try:
            while rest:
                self._socket.settimeout(self._deadline.within(timeout))
                rest = rest[self._socket.send(rest) :]
        except TimeoutError as error:
            self._deadline.within(None)
            raise httpcore.WriteTimeout(f"nothing was taken for {timeout} s") from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):
            self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Speak TLS from here on, with a peer whose certificate is for ``server_hostname``."""
        try:
            self._socket.settimeout(self._deadline.within(timeout))
            self._socket = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except TimeoutError as error:
            self.close()
            raise httpcore.ConnectTimeout(f"no TLS handshake within {timeout} s") from error
        except OSError as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of a connection."""
        if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket):
            return self._socket
        return self._socket if info == "socket" else None
