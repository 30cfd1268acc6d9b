"""The sweep ``breakers``: what time alone changes in a circuit breaker is written, so that it is seen and told."""

import time

from pointsman_service.breaker.registry import Registry
from pointsman_service.loops import Loop
from pointsman_service.telemetry import logger

log = logger(__name__)

_INTERVAL_SECONDS = 0.5
_BREAKERS_A_PASS = 100
_FORGET_SECONDS = 3600.0


class BreakerSweep:
    """Safe in every process: a breaker's row is locked while it changes, and a second pass finds it changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._forget_at = time.monotonic() + _FORGET_SECONDS
        self.loop = Loop("breaker sweep", self.single_pass, _INTERVAL_SECONDS)

    async def single_pass(self) -> bool:
        """Turn up to 100 breakers whose wait or override is over; True when there may be more."""
        if time.monotonic() >= self._forget_at:
            forgotten = await self._registry.forget_idle()
            self._forget_at = time.monotonic() + _FORGET_SECONDS
            if forgotten:
                log.info("circuit breakers that nothing happened to for a week are forgotten", breakers=forgotten)
        return await self._registry.turn(_BREAKERS_A_PASS) == _BREAKERS_A_PASS
