"""Top up a queue in which several shares wait, each in its turn."""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence

from pointsman_contract.queues import MAX_PRIORITY
from pointsman_service.broker import Broker, Depths, Envelope, QueueDepth
from pointsman_service.dispatch.sharing import LineTurns, Sharing, Turn
from pointsman_service.settings import Settings
from pointsman_service.store import api_keys
from pointsman_service.store.queues import dispatching, shares
from pointsman_service.store.queues.dispatching import Taken
from pointsman_service.store.queues.shares import NOBODY_ELSE, Share
from pointsman_service.store.store import Connection, Store
from pointsman_service.telemetry import logger

log = logger(__name__)

_LOOK_SECONDS = 0.2
"""So often it is looked whether more than one share waits."""
_WEIGH_SECONDS = 1.0
"""So often it is asked how much each caller weighs, while several shares wait."""
_MOST_ROUNDS = 12
"""In one pass: where a share has less than its turns, the others get them in the next round."""
_TURNS_A_ROUND = 500

Deliver = Callable[[str, list[Envelope], int | None, int, int], Awaitable[tuple[int, bool]]]
"""Publishes tasks that were marked as sent: of a queue, with their outbox row, in an epoch, so many of the first before
what is on the broker. How many are surely there, and whether others were held.
"""


class TurnTaking:
    """For the dispatcher that leads. Where all that waits is of one share it does nothing but say so, and costs a look
    at the ends of an index five times a second.
    """

    def __init__(self, store: Store, broker: Broker, settings: Settings, deliver: Deliver) -> None:
        self._store = store
        self._broker = broker
        self._deliver = deliver
        self._sharing = Sharing(settings.window_seconds)
        self._look_at = 0.0
        self.shared: set[str] = set()
        """Queues in which tasks of a caller with a key, or with a fairness key, ever waited."""
        self.sole: dict[str, Share] = {}
        """Queues in which all that waits is of one share, and that share: what comes of it may wait alone."""
        self._waited: set[str] = set()
        """Queues in which something waited at each pass since it was last looked."""
        self._alone: set[tuple[str, int]] = set()
        """Queues that take turns, and priorities of them, in which tasks in front still wait alone."""
        self._weights = self._given = settings.caller_weights
        self._weigh_at = 0.0

    async def look(self, connection: Connection, waiting: Collection[str], depths: Depths, now: float) -> None:
        """Find out in which of these queues several shares wait, if it is time to; ``now`` in monotonic seconds."""
        # Whatever waits there next may be of another one.
        self.sole = {queue: share for queue, share in self.sole.items() if queue in waiting}
        self._waited.intersection_update(waiting)
        if waiting and now >= self._look_at:
            await self._look_who_was_sent(
                connection,
                [queue for queue in waiting if queue not in self._waited and depths.queues[queue].messages],
                now,
            )
            self._waited.update(waiting)
            found = await shares.ends(connection, list(waiting))
            alone = await shares.alone(connection, list(waiting))
            for (queue, _), those in alone.items():
                found.setdefault(queue, set()).update(those)
            self.shared.update(queue for queue, those in found.items() if those != {NOBODY_ELSE})
            self._sharing.seen(found, now)
            turns = [queue for queue in waiting if self._sharing.of(queue) is not None]
            self.sole = {
                queue: next(iter(those)) for queue, those in found.items() if len(those) == 1 and queue not in turns
            }
            self._alone = {(queue, priority) for queue, priority in alone if queue in turns}
            self._look_at = now + _LOOK_SECONDS
            if turns and now >= self._weigh_at:
                self._weights = await api_keys.weights(connection, self._given)
                self._weigh_at = now + _WEIGH_SECONDS

    async def _look_who_was_sent(self, connection: Connection, queues: Sequence[str], now: float) -> None:
        """Where nothing waited, the API sent all by itself, and nobody has said whose that is."""
        there = await self._broker.sampled(queues) if queues else {}
        for queue, ids in there.items():
            if tasks := await shares.of_tasks(connection, ids):
                self._sharing.on_broker(queue, max(tasks, key=lambda share: tasks[share]), now)
                if tasks.keys() != {NOBODY_ELSE}:
                    self.shared.add(queue)

    def takes_turns(self, queue: str) -> bool:
        """Whether several shares wait in it, or did so lately."""
        return self._sharing.of(queue) is not None

    async def fill(self, queue: str, room: int, epoch: int, depth: QueueDepth, is_blocked: bool) -> tuple[int, bool]:
        """Send up to so many tasks; and some of who is behind the others before what is on the broker, even where there
        is no room. How many are surely there, and whether to look again because others were held.
        """
        turns = self._sharing.of(queue)
        assert turns is not None
        early_room = turns.front.room(depth)
        for place in [place for place in self._alone if place[0] == queue]:
            async with self._store.transaction() as connection:
                await self._place(connection, *place)
            self._alone.discard(place)
        sent, below, goes_on = 0, MAX_PRIORITY + 1, False
        for _ in range(_MOST_ROUNDS):
            if room - sent <= 0 and early_room <= 0:
                break
            async with self._store.transaction() as connection:
                await shares.go_along_indexes(connection)
                priority = await shares.level(connection, queue, below)
                if priority is None:
                    break
                here = turns.line(priority)
                from_the_first = not here.after
                line = await shares.line(connection, queue, priority, here.after, here.keys_after)
                here.seen(line)
                if not line:
                    # All of it waits alone, or was taken meanwhile; or what follows the last page did.
                    if from_the_first and not await self._place(connection, queue, priority):
                        below = priority
                    continue
                order = here.turns(line, room - sent, early_room, _TURNS_A_ROUND, self._weights)
                if not order and room - sent <= 0:
                    break
                taken = await dispatching.take_turns(
                    connection, queue, priority, Counter(turn.share for turn in order), epoch, is_blocked=is_blocked
                )
            early, others = self._in_turn(here, order, taken)
            if taken.held:
                log.info("tasks are held by circuit breakers", queue=queue, tasks=taken.held)
            elif order and not early and not others:
                # Somebody else has locked them, or they are about to be cancelled.
                below = priority
            goes_on |= bool(taken.held)
            if early or others:
                there, others_held = await self._deliver(queue, early + others, taken.outbox_id, epoch, len(early))
                sent, goes_on = sent + there, goes_on or others_held
                turns.front.put += len(early)
                early_room -= len(early)
        return sent, goes_on

    async def _place(self, connection: Connection, queue: str, priority: int) -> int:
        placed = await shares.place(connection, queue, priority)
        if placed:
            log.info("tasks that waited alone take turns", queue=queue, priority=priority, tasks=placed)
        return placed

    def _in_turn(self, here: LineTurns, order: Sequence[Turn], taken: Taken) -> tuple[list[Envelope], list[Envelope]]:
        """What was taken, in the order of its turns: what goes before others, and what does not."""
        left = {share: iter(tasks) for share, tasks in taken.tasks.items()}
        early: list[Envelope] = []
        others: list[Envelope] = []
        for turn in order:
            envelope = next(left[turn.share], None) if turn.share in left else None
            if envelope is not None:
                (early if turn.early else others).append(envelope)
                here.sent(turn.share, self._weights)
        return early, others
