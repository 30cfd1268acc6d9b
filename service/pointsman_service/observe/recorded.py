"""Up to which moment figures are complete."""

from datetime import UTC, datetime, timedelta

from pointsman_service.observe.broker_state import BrokerWatch
from pointsman_service.observe.kept import Kept
from pointsman_service.store.store import Store
from pointsman_service.store.streams import epochs

_KEPT_SECONDS = 0.25


class RecordedWatch:
    """How far the recorder is. Ask before the figures are read: then they lack nothing that was reported before."""

    def __init__(self, store: Store, broker: BrokerWatch) -> None:
        self._store = store
        self._broker = broker
        self._moment = Kept(self._ask, _KEPT_SECONDS)

    async def up_to(self) -> datetime | None:
        """What workers reported before this moment is recorded; None when nobody has ever recorded anything and the
        broker is away. Raises the store's errors.
        """
        return (await self._moment.get())[0]

    async def soon(self, seconds: float) -> datetime | None:
        """The same, or ``NotInTime`` so long after it was asked: who comes later, while nobody is answered, at once."""
        return (await self._moment.soon(seconds))[0]

    async def _ask(self) -> tuple[datetime | None]:
        async with self._store.statement() as connection:
            known = await epochs.progress(connection)
        now = datetime.fromtimestamp(known.at, UTC)
        behind = await self._broker.lag_seconds(known.positions, known.epoch)
        if behind is not None:
            return (now - timedelta(seconds=behind),)
        # What is not recorded nobody knows; what is came up to here.
        last = max((epochs.order(last_id)[0] for last_id in known.positions.values()), default=0)
        return (min(now, datetime.fromtimestamp(last / 1000, UTC)) if last else None,)
