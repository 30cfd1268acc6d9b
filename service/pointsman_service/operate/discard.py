"""Discard messages that were set aside: somebody has seen to them."""

from dataclasses import dataclass

from pointsman_contract import keys
from pointsman_service.callers import Caller
from pointsman_service.operate.act import Act, ActKind, acting
from pointsman_service.redis import RedisServer
from pointsman_service.store.store import Store
from pointsman_service.telemetry import logger

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Discarded:
    """What was done."""

    discarded: int
    left: int
    """Set aside later than the one named."""


class Discarder:
    """Discards for one API process."""

    def __init__(self, store: Store, server: RedisServer) -> None:
        self._store = store
        self._server = server

    async def discard(self, caller: Caller, through: str, reason: str | None) -> Discarded:
        """Everything up to and with the entry ``through``, whether that is still kept or not. Raises ``BrokerAway``,
        and what ``acting`` raises.

        Asked again it finds nothing more: what comes later has a later id.
        """
        act = Act(ActKind.DISCARD, caller, through, reason)
        async with acting(self._store, act):
            kept = [keys.SET_ASIDE, keys.SET_ASIDE_COUNTS]
            discarded, left = await self._server.script("discard", kept, [], [through])
            act.changed = discarded > 0
            act.was(discarded + left, left)
        log.info(
            "messages that were set aside are discarded",
            messages=discarded,
            through=through,
            actor=caller.name,
            reason=reason,
        )
        return Discarded(discarded, left)
