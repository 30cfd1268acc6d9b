"""The parent's own thread: it says that the node lives, under which epoch, and what its children run.

Celery's timer falls silent while kombu reconnects, for up to half a minute; this thread has its own connection.
"""

import json
import logging
import threading
import time

from pointsman.connection import AWAY, RedisConnection
from pointsman.node.keeper import Keeper, Note
from pointsman.node.node import Node
from pointsman.node.slots import Phase
from pointsman.parent.cancelling import CancelRequests
from pointsman.parent.catalogue import Catalogue
from pointsman.parent.consumption import Consumption
from pointsman.parent.ejection import parse, query
from pointsman.parent.lost import LostChildren
from pointsman.parent.pulse import Pulse
from pointsman.parent.stopping import end_stragglers
from pointsman.parent.visibility import state
from pointsman_contract.events import BEAT_SECONDS, Beat, EventKind
from pointsman_contract.keys import BEATS, CONTROL
from pointsman_contract.message import VERSION
from pointsman_contract.signing import Purpose, sealed

logger = logging.getLogger(__name__)

_TICK_SECONDS = 0.4
_LOG_SECONDS = 10.0


class Beats:
    """Beats every ``BEAT_SECONDS``, and at once when the epoch changes, the node is told to stop, or takes from other
    queues than before.

    Between beats it looks for dead children, and for requests to cancel what the others run.
    """

    def __init__(self, node: Node, catalogue: Catalogue, pulse: Pulse) -> None:
        self._node = node
        self._redis = RedisConnection(node.settings)
        self._kept = (0, 0)
        self.keeper = Keeper(node.settings, self._show_kept)
        self._lost = LostChildren(node, self._redis, self.keeper, catalogue.rules)
        self._cancels = CancelRequests(node, self._redis)
        self._catalogue = catalogue
        self._catalogue_epoch = 0
        self._pulse = pulse
        self._counter = 0
        self._beaten_at = 0.0
        self._consumption = Consumption(self._consumed, lambda: node.reserved())
        self._said: tuple[object, ...] = ()
        self._away_logged_at = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="pointsman-beats", daemon=True)

    def start(self) -> None:
        """Start the thread. The children have been forked."""
        self._thread.start()

    def stop(self) -> None:
        """The pool is gone: report who died meanwhile, then take the beat away. Harmless a second time."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(self._node.settings.redis_read_seconds)
        try:
            self._lost.run_once()
            self._redis.command("HDEL", BEATS, self._node.owner)
        except AWAY as error:
            logger.warning("the beat of %s stays: %s", self._node.owner, error)
        self.keeper.close(seconds=1.0)

    def run_once(self) -> None:
        """One pass. Raises one of ``pointsman.connection.AWAY``."""
        end_stragglers(self._node)
        epoch = self._valid_epoch()
        self._cancels.run_once()
        self._lost.run_once()
        self._publish_catalogue(epoch)
        queues, left = self._consumption.look()
        said = self._appended_epoch(epoch), self._node.slots.stopping, self._node.is_off, queues
        if said != self._said or time.monotonic() - self._beaten_at >= BEAT_SECONDS - _TICK_SECONDS / 2:
            self._beat(*said, left)

    def _loop(self) -> None:
        while not self._stop.is_set():
            answers = True
            try:
                self.run_once()
                self._away_logged_at = 0.0
            except AWAY as error:
                answers = False
                self._redis.close()
                if time.monotonic() - self._away_logged_at > _LOG_SECONDS:
                    logger.warning("no beat: Redis does not answer: %s", error)
                    self._away_logged_at = time.monotonic()
            except Exception:
                logger.exception("beats: unexpected error")
            self._pulse.turn(redis_answers=answers)
            self._stop.wait(_TICK_SECONDS)

    def _valid_epoch(self) -> int:
        control, ejected = self._redis.pipeline([("HMGET", CONTROL, "epoch", "run_id"), query(self._node)])
        parse(self._node, ejected)
        epoch, run_id = control
        # What is no number is soon declared anew.
        return int(epoch) if epoch and epoch.isdecimal() and run_id == self._redis.run_id else 0

    def _appended_epoch(self, epoch: int) -> int:
        """The epoch under which all outcomes this node still keeps have been appended."""
        kept = [(slot.kept, slot.kept_epoch) for slot in self._node.slots.taken()]
        return min([epoch, *(under for count, under in [*kept, self._kept] if count)])

    def _publish_catalogue(self, epoch: int) -> None:
        if not epoch or epoch == self._catalogue_epoch or not self._node.ready:
            return
        note = Note(EventKind.CATALOGUE, "", self._catalogue.body(self._node.owner))
        answer = self._redis.script("append", *note.call(self._redis.stamp))
        if answer[0] == "ok":
            self._catalogue_epoch = int(answer[1])

    def _consumed(self) -> list[str]:
        consumed = self._node.consumed
        return list(self._node.queues) if consumed is None else consumed()

    def _beat(self, epoch: int, stopping: bool, ejected: bool, queues: list[str], left: list[str]) -> None:
        node = self._node
        self._counter += 1
        beat: Beat = {
            "name": node.name,
            "owner": node.owner,
            "pool": node.pool,
            "queues": queues,
            "left": left,
            "processes": node.processes,
            "pid": node.pid,
            "host": node.host,
            "started_at": node.started_at,
            "contract": VERSION,
            "counter": self._counter,
            "consuming": node.consuming,
            "epoch": epoch,
            "running": [
                {"task": slot.run.task, "attempt": slot.run.attempt, "token": slot.run.token}
                for slot in node.slots.taken()
                if slot.phase is Phase.RUNNING and slot.run is not None
            ],
            "reserved": node.reserved(),
            "asking": [
                slot.run.task for slot in node.slots.taken() if slot.phase is Phase.ASKING and slot.run is not None
            ],
            "at": time.time(),
            "stopping": stopping,
            "ejected": ejected,
        }
        text = json.dumps(beat)
        if self._redis.stamp is not None:
            text = sealed(self._redis.stamp.signer, Purpose.BEAT, text)
        self._redis.command("HSET", BEATS, node.owner, text)
        state(self._redis, node.settings.visibility_timeout_seconds)
        self._beaten_at, self._said = time.monotonic(), (epoch, stopping, ejected, queues)

    def _show_kept(self, kept: int, epoch: int) -> None:
        self._kept = (kept, epoch)
