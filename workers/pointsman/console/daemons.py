"""The nodes that ``scripts/celery_workers.sh`` runs: what their beats say of them.

The script knows processes, this knows Redis. A node that has no beat yet, or was cut off, is still named.
"""

import json
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pointsman.connection import AWAY, RedisConnection
from pointsman_contract.events import BEAT_SECONDS, Beat
from pointsman_contract.keys import BEATS
from pointsman_contract.nodes import pool_of
from pointsman_contract.processes import is_alive

SILENT_SECONDS = 5 * BEAT_SECONDS
_PAUSE_SECONDS = 0.1
_START_SECONDS = 60.0
"""A node without a beat for so long after its start has a problem."""


class State(StrEnum):
    """How a node is."""

    RUNNING = "running"
    STARTING = "starting"
    DRAINING = "draining"
    """It was told to stop and finishes what runs."""
    EJECTED = "ejected"
    """It runs, and the control plane took it off its queues."""
    STALE = "stale"
    """Its process lives but does not beat: it hangs, or does not reach the broker."""
    DOWN = "down"
    ALIVE = "alive"
    """Its process lives; more is not known, because the broker is away."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """One node as the script's pid file knows it."""

    name: str
    """The node name without its host: ``email``, ``email-2``."""
    pid: int | None
    """None when there is no pid file."""
    is_alive: bool
    started_at: float = 0.0
    """Unix seconds; when its pid file was written."""

    @property
    def pool(self) -> str:
        """The pool it is a node of."""
        return pool_of(self.name)


def read_beats(redis: RedisConnection) -> list[Beat]:
    """The last beat of every node on this host. Raises one of ``AWAY``."""
    flat: list[str] = redis.command("HGETALL", BEATS)
    beats: list[Beat] = [json.loads(text) for text in flat[1::2]]
    host = socket.gethostname()
    return [beat for beat in beats if beat["host"] == host]


def beat_of(pid: int | None, beats: Sequence[Beat]) -> Beat | None:
    """The beat of a process. A recycled pid may have an older one too: the last start counts."""
    return max((beat for beat in beats if beat["pid"] == pid), key=lambda beat: beat["started_at"], default=None)


def age_of(beat: Beat, now: float) -> float:
    """Seconds since a beat was made; a worker of an earlier version does not say."""
    return max(0.0, now - beat.get("at", now))


def state_of(daemon: Daemon, beats: Sequence[Beat] | None, now: float) -> State:
    """How a node is, from its process and its beat. ``beats`` is None while the broker is away."""
    if not daemon.is_alive:
        return State.DOWN
    if beats is None:
        return State.ALIVE
    beat = beat_of(daemon.pid, beats)
    if beat is None:
        return State.STARTING if now - daemon.started_at < _START_SECONDS else State.STALE
    if age_of(beat, now) > SILENT_SECONDS:
        return State.STALE
    if beat.get("stopping"):
        return State.DRAINING
    if beat.get("ejected"):
        return State.EJECTED
    return State.RUNNING if beat["consuming"] else State.STARTING


def still_alive(daemons: Sequence[Daemon]) -> list[Daemon]:
    """The daemons whose process has not ended."""
    return [daemon for daemon in daemons if daemon.pid is not None and is_alive(daemon.pid)]


class Outcome(StrEnum):
    """What became of a node that was started."""

    READY = "ready"
    DIED = "died"
    LATE = "late"


def wait_until_consuming(
    redis: RedisConnection, daemons: Sequence[Daemon], seconds: float
) -> Iterator[tuple[Daemon, Outcome]]:
    """Each node with what became of it, as soon as that is known; the rest is late after ``seconds``."""
    waiting = list(daemons)
    deadline = time.monotonic() + seconds
    while waiting and time.monotonic() < deadline:
        try:
            beats = read_beats(redis)
        except AWAY:
            redis.close()
            beats = []
        for daemon in list(waiting):
            beat = beat_of(daemon.pid, beats)
            if daemon.pid is None or not is_alive(daemon.pid):
                outcome = Outcome.DIED
            elif beat is not None and beat["consuming"]:
                outcome = Outcome.READY
            else:
                continue
            waiting.remove(daemon)
            yield daemon, outcome
        time.sleep(_PAUSE_SECONDS)
    for daemon in waiting:
        yield daemon, Outcome.LATE


def watch_drain(redis: RedisConnection, daemons: Sequence[Daemon], seconds: float) -> Iterator[str]:
    """A line whenever the number of tasks left in a node changes; ends when all are gone, or after ``seconds``."""
    said: dict[str, str] = {}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        left = still_alive(daemons)
        if not left:
            return
        try:
            beats: Sequence[Beat] | None = read_beats(redis)
        except AWAY:
            redis.close()
            beats = None
        for daemon in left:
            beat = None if beats is None else beat_of(daemon.pid, beats)
            # A beat that does not say stopping is older than the signal. Nothing left is said soon by its end.
            if beats is not None and (beat is None or not beat.get("stopping") or not beat["running"]):
                continue
            line = f"{daemon.name}: draining{_left(beat)}"
            if said.get(daemon.name) != line:
                said[daemon.name] = line
                yield line
        time.sleep(_PAUSE_SECONDS)


def find_stranger(redis: RedisConnection, node: str, seconds: float = 2 * BEAT_SECONDS) -> Beat | None:
    """The beat of a living node of that name on this host, whoever started it. Raises one of ``AWAY``.

    Looks for at most ``seconds``, and only when there is such a beat at all.
    """
    suspects = [beat for beat in read_beats(redis) if beat["name"].partition("@")[0] == node and is_alive(beat["pid"])]
    if not suspects:
        return None
    # A crashed node leaves its beat for an hour, and its pid may be somebody else's by now: only one that moves lives.
    before = {beat["owner"]: beat["counter"] for beat in suspects}
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for beat in read_beats(redis):
            if beat["counter"] != before.get(beat["owner"], beat["counter"]):
                return beat
        time.sleep(_PAUSE_SECONDS)
    return None


def _left(beat: Beat | None) -> str:
    if beat is None:
        return "; the broker does not answer, so what is left is not known"
    count = len(beat["running"])
    return ", 1 task left" if count == 1 else f", {count} tasks left"
