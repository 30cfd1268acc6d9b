"""The table of ``scripts/celery_workers.sh status``."""

from collections.abc import Mapping, Sequence

from pointsman.console.daemons import Daemon, State, age_of, beat_of, state_of
from pointsman_contract.events import Beat

HEAD = ("pool", "pid", "state", "queues", "uptime", "busy", "last beat")
DOWN, UNKNOWN = 1, 4
"""Exit codes, as init scripts have them."""

_UP = (State.RUNNING, State.STARTING, State.EJECTED, State.ALIVE)
_COLOURS = {State.RUNNING: 32, State.STARTING: 33, State.DRAINING: 33, State.STALE: 31, State.DOWN: 31}
_NOTHING = "-"


def table(
    daemons: Sequence[Daemon],
    beats: Sequence[Beat] | None,
    queues: Mapping[str, Sequence[str]],
    now: float,
    *,
    coloured: bool = False,
) -> list[str]:
    """A line for each node, below a head. ``queues`` are the configured ones, by pool."""
    rows = [_row(daemon, beats, queues, now) for daemon in daemons]
    widths = [max(len(row[column]) for row in [HEAD, *rows]) for column in range(len(HEAD))]
    lines = []
    for row in [HEAD, *rows]:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        if coloured and row is not HEAD:
            cells[2] = f"\033[{_COLOURS.get(State(row[2]), 33)}m{cells[2]}\033[0m"
        lines.append("  ".join(cells).rstrip())
    return lines


def exit_code(daemons: Sequence[Daemon], beats: Sequence[Beat] | None, now: float) -> int:
    """0 when every pool has a node that runs or starts and no node is stale; ``DOWN``, else ``UNKNOWN``."""
    states = [(daemon.pool, state_of(daemon, beats, now)) for daemon in daemons]
    served = {pool for pool, state in states if state in _UP}
    if served != {pool for pool, _ in states} or any(state is State.STALE for _, state in states):
        return DOWN
    return UNKNOWN if beats is None else 0


def _row(
    daemon: Daemon, beats: Sequence[Beat] | None, queues: Mapping[str, Sequence[str]], now: float
) -> tuple[str, ...]:
    state = state_of(daemon, beats, now)
    pid = _NOTHING if daemon.pid is None else str(daemon.pid)
    configured = ",".join(queues.get(daemon.pool, ())) or _NOTHING
    beat = beat_of(daemon.pid, beats) if beats is not None and daemon.is_alive else None
    if beat is None:
        rest = "?" if state is State.ALIVE else _NOTHING
        return (daemon.name, pid, str(state), configured, rest, rest, rest)
    return (
        daemon.name,
        pid,
        str(state),
        ",".join(beat["queues"]),
        span(now - beat["started_at"]),
        f"{len(beat['running'])}/{beat['processes']}",
        f"{age_of(beat, now):.1f} s",
    )


def span(seconds: float) -> str:
    """``7 s``, ``12 m``, ``3 h 05 m``, ``2 d 04 h``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02} h"
