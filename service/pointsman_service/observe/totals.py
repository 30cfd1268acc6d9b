"""Sums over everything kept, the same whichever process is asked."""

from pointsman_service.observe.kept import Kept, NotInTime, within
from pointsman_service.store.metrics import totals
from pointsman_service.store.metrics.totals import Totals
from pointsman_service.store.store import Store

_KEPT_SECONDS = 1.5
_REST = 10.0
"""All processes together sum up for at most a tenth of one connection's time."""
_ANSWER_SECONDS = 2.5


class TotalsWatch:
    """Of two answers, asked for one after the other in any two processes, no number in the second is lower."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._renewal = Kept(self._renew, 0.0)

    async def read(self) -> Totals:
        """The newest. Raises the store's errors, ``NotInTime`` when nobody of this release has summed up in time: a
        counter that the other release does not know would fall to 0.
        """
        found = await self._stored()
        if found is None or not found.is_whole or found.age_seconds > max(_KEPT_SECONDS, _REST * found.took_seconds):
            try:
                await within(_ANSWER_SECONDS, self._renewal.get())
            except NotInTime:
                # It goes on, for whoever asks next.
                if found is None or not found.is_whole:
                    raise
            found = await self._stored() or found
        if found is None or not found.is_whole:
            raise NotInTime("another process sums up, or one of another release did")
        return found

    async def _stored(self) -> Totals | None:
        async with self._store.statement() as connection:
            return await totals.read(connection)

    async def _renew(self) -> bool:
        async with self._store.transaction() as connection:
            return await totals.renew(connection)
