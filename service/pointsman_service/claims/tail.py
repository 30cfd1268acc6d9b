"""No sweep acts on what a worker may have reported already: first the recorder must have passed it."""

import asyncio

from pointsman_contract import keys
from pointsman_contract.backoff import backoff_seconds
from pointsman_service.redis import RedisServer
from pointsman_service.store.store import Store
from pointsman_service.store.streams import epochs

_LOOK_AGAIN_SECONDS = 0.02


class Tail:
    """The end of an epoch's stream as it was at one moment."""

    def __init__(self, stream: str, last_id: str | None) -> None:
        self._stream = stream
        self._last_id = last_id

    @classmethod
    async def now(cls, server: RedisServer, epoch: int) -> "Tail":
        """The end as it is now. Raises ``BrokerAway``."""
        stream = keys.events(epoch)
        newest = await server.command("XREVRANGE", stream, "+", "-", "COUNT", 1)
        return cls(stream, newest[0][0].decode() if newest else None)

    async def is_recorded(self, store: Store) -> bool:
        """Whether everything reported before that moment is in the rows."""
        async with store.statement() as connection:
            positions = await epochs.positions(connection)
        if self._stream not in positions:
            return False
        return self._last_id is None or epochs.order(positions[self._stream]) >= epochs.order(self._last_id)

    async def recorded_within(self, store: Store, seconds: float) -> bool:
        """``is_recorded``, asked again for so long: under load the recorder is always a little behind."""
        deadline = asyncio.get_running_loop().time() + seconds
        looks = 0
        while not await self.is_recorded(store):
            if asyncio.get_running_loop().time() > deadline:
                return False
            # Many may wait for one recorder: they must not take the connections of everybody else.
            looks += 1
            await asyncio.sleep(backoff_seconds(looks, base=_LOOK_AGAIN_SECONDS, cap=seconds))
        return True
