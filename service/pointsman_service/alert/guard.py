"""Connections of webhooks: the name is resolved once, every address is checked, and a checked one is connected to.

TLS and the Host header go on using the name, so a certificate must be for it.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore

from pointsman_contract.addresses import parse, refusal
from pointsman_service.errors import ServiceError


class TargetRefused(ServiceError):
    """The host of the URL leads to an address that webhooks may not reach."""


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens the connection of one message."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = allowed
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's name
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers.

        Raises ``TargetRefused`` when any address of the host is neither public nor of a network that is allowed.
        """
        addresses = await _resolve(host, port)
        _check(host, addresses, self._allowed)
        failed: Exception | None = None
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise httpcore.ConnectError(f"{host} cannot be connected to") from failed

    async def sleep(self, seconds: float) -> None:
        """What httpcore asks of a backend."""
        await self._inner.sleep(seconds)


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"the name {host} cannot be resolved") from error
    return list(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))


def _check(host: str, addresses: Iterable[str], allowed: Sequence[str]) -> None:
    for address in addresses:
        what = refusal(parse(address), allowed)
        if what is not None:
            raise TargetRefused(f"{host} leads to {address}, {what}; POINTSMAN_ALERT_ALLOW_PRIVATE_TARGETS may name it")
