"""Discard messages that were set aside: somebody has seen to them."""

from dataclasses import dataclass

from pointsman_contract import keys
from pointsman_service.redis import RedisServer
from pointsman_service.submit.submitter import LOCAL_CALLER
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

    def __init__(self, server: RedisServer) -> None:
        self._server = server

    async def discard(self, through: str, reason: str | None) -> Discarded:
        """Everything up to and with the entry ``through``, whether that is still kept or not. Raises ``BrokerAway``.

        Asked again it finds nothing more: what comes later has a later id.
        """
        discarded, left = await self._server.script("discard", [keys.SET_ASIDE, keys.SET_ASIDE_COUNTS], [], [through])
        log.info(
            "messages that were set aside are discarded",
            messages=discarded,
            through=through,
            actor=LOCAL_CALLER,
            reason=reason,
        )
        return Discarded(discarded, left)
