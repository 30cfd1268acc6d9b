"""The broker as readers see it. That it is away is an answer and not an error."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pointsman_contract import keys
from pointsman_contract.events import Beat
from pointsman_service.broker import Broker, BrokerAway, Depths
from pointsman_service.fleet.beats import sort_out
from pointsman_service.observe.kept import Kept, NotInTime, within
from pointsman_service.observe.set_aside import SetAside, counts
from pointsman_service.redis import RedisServer

ANSWER_SECONDS = 0.8
_KEPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class BrokerState:
    """The broker at one moment."""

    depths: Depths | None
    """None: it is away."""
    reason: str
    """Why it is away, in words."""
    busy: Mapping[str, int]
    """How many attempts the newest beat of each worker parent names, by owner."""
    ejected: frozenset[str] = frozenset()
    """Owners of those that say that they are taken off their queues."""
    set_aside: Mapping[str, SetAside] | None = None
    """Messages that nobody could run, by queue; None when that is not known."""
    beats: Mapping[str, Beat] = field(default_factory=dict)
    """The newest beat of each worker parent, by owner, as far as it can be read."""
    unreadable: frozenset[str] = frozenset()
    """Owners of the others."""

    @property
    def up(self) -> bool:
        """Whether the broker answered."""
        return self.depths is not None


class BrokerWatch:
    """Asks the broker at most once a second."""

    def __init__(self, broker: Broker, server: RedisServer) -> None:
        self._broker = broker
        self._server = server
        self._state = Kept(self._ask, _KEPT_SECONDS)

    async def state(self) -> BrokerState:
        """How the broker stands, within a second."""
        return await self._state.get()

    async def lag_seconds(self, positions: Mapping[str, str], epoch: int | None) -> float | None:
        """Age of the oldest event that is not recorded yet, on the Redis clock.

        0 when there is none, None when the broker is away. ``positions`` and ``epoch`` are what the database says.
        """
        streams = dict(positions)
        if epoch is not None:
            streams.setdefault(keys.events(epoch), "0-0")
        oldest = [("XRANGE", stream, f"({last_id}", "+", "COUNT", 1) for stream, last_id in streams.items()]
        try:
            answers = await within(ANSWER_SECONDS, self._server.pipeline([("TIME",), *oldest]))
        except (BrokerAway, NotInTime):
            return None
        (seconds, micros), *entries = answers
        now = int(seconds) + int(micros) / 1e6
        written = [int(found[0][0].split(b"-")[0]) / 1000 for found in entries if found]
        # An id may be of the future: somebody wrote it.
        return max((now - at for at in written if at <= now), default=0.0)

    async def _ask(self) -> BrokerState:
        try:
            depths = await within(ANSWER_SECONDS, self._broker.depths())
            flat = await within(ANSWER_SECONDS, self._server.command("HGETALL", keys.BEATS))
        except NotInTime as error:
            return BrokerState(None, str(error), {})
        except BrokerAway as error:
            return BrokerState(None, error.said or "no connection", {})
        # Of one that cannot be read the figures are not known.
        beats, wrong = sort_out(flat, self._server.trust)
        busy = {owner: len(beat["running"]) for owner, beat in beats.items()}
        ejected = frozenset(owner for owner, beat in beats.items() if beat.get("ejected"))
        unreadable = frozenset(owner.decode(errors="replace") for owner in wrong)
        return BrokerState(depths, "", busy, ejected, await self.set_aside(), beats, unreadable)

    async def set_aside(self) -> Mapping[str, SetAside] | None:
        """What nobody could run, asked now: a kept answer could be older than what another process has said since."""
        try:
            return await within(ANSWER_SECONDS, counts(self._server))
        except (BrokerAway, NotInTime):
            return None
