"""What ``/metrics`` tells, as whoever is asked reads it."""

import asyncio
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from pointsman_service.errors import DatabaseAway, ExpectedFault
from pointsman_service.observe.exposition import as_openmetrics
from pointsman_service.observe.kept import Kept, NotInTime, within
from pointsman_service.store.metrics import exposed
from pointsman_service.store.metrics.exposed import Body, Exposed
from pointsman_service.store.store import StatementRefused, Store
from pointsman_service.telemetry import logger

log = logger(__name__)

OLD_SECONDS = 30.0
"""An older snapshot was renewed by nobody: what was true of its moment says nothing of now."""
_READ_SECONDS = 2.0
_RENEWAL_SECONDS = 4.0
_LEVEL = 3
"""Of compression: text of this kind gets hardly smaller with more."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What every scrape of one snapshot in one format begins with."""

    of: Body
    plain: bytes
    compressed: bytes
    """The same as the beginning of one gzip member."""
    compressor: Any
    """As it stands after that."""

    def compressed_with(self, last: bytes) -> bytes:
        """One gzip member, with what this scrape alone says at its end."""
        going_on = self.compressor.copy()
        compressed: bytes = self.compressed + going_on.compress(last) + going_on.flush()
        return compressed


class ExposedWatch:
    """The newest snapshot as this process last read it. However many ask, it is encoded once."""

    def __init__(self, store: Store, renew: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        self._store = store
        self._asking = Kept(self._ask, 0.0)
        self._renewal = Kept(renew, 0.0)
        self._number = 0
        self._body: Body | None = None
        self._encoded: dict[tuple[bool, bool], Encoded] = {}

    async def read(self) -> Exposed | None:
        """The newest snapshot with its body; None while there is none.

        One that nobody renews, as beside a reconciler of the release before, this process renews. Raises the store's
        errors, ``NotInTime`` when the database does not answer.
        """
        found = await within(_READ_SECONDS, self._asking.get())
        if found is None or found.age_seconds > OLD_SECONDS:
            await self._renew()
            found = await within(_READ_SECONDS, self._asking.get())
        return found

    async def encoded(self, snapshot: Exposed, *, openmetrics: bool) -> Encoded | None:
        """The text of a snapshot, without the gauges of one that is old; None of one without a body."""
        if snapshot.body is None:
            return None
        old = snapshot.age_seconds > OLD_SECONDS
        known = self._encoded.get((old, openmetrics))
        if known is None or known.of is not snapshot.body:
            known = await asyncio.to_thread(_encode, snapshot.body, old=old, openmetrics=openmetrics)
            self._encoded[old, openmetrics] = known
        return known

    async def _renew(self) -> None:
        try:
            await within(_RENEWAL_SECONDS, self._renewal.get())
        except (DatabaseAway, ExpectedFault, NotInTime, StatementRefused) as error:
            log.info("the metrics were not renewed", reason=f"{type(error).__name__}: {error}")

    async def _ask(self) -> Exposed | None:
        async with self._store.statement() as connection:
            found = await exposed.read(connection, self._number)
        if found is None:
            return None
        if found.body is not None:
            self._number, self._body = found.number, found.body
        return replace(found, body=self._body)


def _encode(body: Body, *, old: bool, openmetrics: bool) -> Encoded:
    text = body.rising if old else body.rising + body.standing
    plain = (as_openmetrics(text) if openmetrics else text).encode()
    compressor = zlib.compressobj(_LEVEL, wbits=zlib.MAX_WBITS | 16)
    return Encoded(body, plain, compressor.compress(plain), compressor)
