"""Put committed tasks on the broker. What does not get there stays in the outbox, and the reconciler finds it."""

from collections.abc import Sequence

from pointsman_service.broker import Broker, BrokerAway, BrokerShut, Envelope
from pointsman_service.telemetry import logger
from pointsman_service.tracing import Tracing

log = logger(__name__)


class Publisher:
    """Publishes, and says once when it cannot and once when it can again."""

    def __init__(self, broker: Broker, tracing: Tracing | None = None) -> None:
        self._broker = broker
        self._tracing = tracing
        self._refusal: str | None = None

    async def publish(self, envelopes: Sequence[Envelope], epoch: int, fronts: int = 0) -> bool:
        """Whether all of them are surely on the broker; False leaves their outbox row to the reconciler. ``fronts``:
        so many of the first before all others.
        """
        if self._tracing is None:
            return await self._publish(envelopes, epoch, fronts)
        with self._tracing.sending(envelopes):
            return await self._publish(envelopes, epoch, fronts)

    async def _publish(self, envelopes: Sequence[Envelope], epoch: int, fronts: int) -> bool:
        try:
            await self._broker.publish(envelopes, epoch, fronts)
        except (BrokerAway, BrokerShut) as error:
            reason = f"{type(error).__name__}: {error}"
            if self._refusal != reason:
                log.warning("cannot publish; tasks wait in Postgres", reason=reason)
                self._refusal = reason
            return False
        if self._refusal is not None:
            log.info("publishing works again")
            self._refusal = None
        return True
