"""``python -m pointsman``: what ``scripts/celery_workers.sh`` asks, and the settings of workers for people.

Nodes are given as ``NAME:STATE:PID``, as the pid files tell: ``email:alive:4711``, ``email-2:gone:4712``,
``reports:none:-``.
"""

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from pointsman.connection import AWAY, RedisConnection
from pointsman.console.daemons import (
    Daemon,
    Outcome,
    find_stranger,
    read_beats,
    still_alive,
    wait_until_consuming,
    watch_drain,
)
from pointsman.console.status import exit_code, table
from pointsman.settings import Settings, settings
from pointsman_contract.configuration import misspelt, read_file
from pointsman_contract.nodes import NUMBERS, node_name, worker_words
from pointsman_contract.server_urls import password_of
from pointsman_contract.server_words import server_words
from pointsman_contract.settings_view import masked_url, rows

_NO_BROKER = "No broker: set POINTSMAN_REDIS_URL, or start ./scripts/up --pools none."


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit status. A bad setting ends with status 2 and a line for each fault."""
    given = _parser().parse_args(arguments)
    ours = settings()
    match given.command:
        case "config":
            return show_config(ours, as_json=given.json, check=given.check)
        case "pools":
            return list_pools(ours)
        case "check":
            return check_start(ours, given.names)
        case "status":
            return show_status(ours, given.nodes, given.pids, given.only)
        case "wait":
            return wait(ours, given.nodes, given.seconds)
        case _:
            return drain(ours, given.nodes, given.seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pointsman", description="Look at the workers of this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    config = commands.add_parser("config", help="show every setting of a worker: its value, and where that came from")
    config.add_argument("--json", action="store_true", help="print JSON")
    config.add_argument(
        "--check",
        action="store_true",
        help="only validate; status 2 and a line for each fault, also for names that are no setting",
    )
    commands.add_parser(
        "pools", help="a line for each node of each pool: pool, node, queues, processes, prefetch, command line (tabs)"
    )
    check = commands.add_parser("check", help="status 1 and a sentence when nodes of these names cannot be started")
    check.add_argument("names", nargs="+", metavar="NAME")
    status = commands.add_parser("status", help="a table; status 1 when a pool is down, 4 when the broker is away")
    status.add_argument("--pids", type=Path, required=True, metavar="DIR", help="where the pid files are")
    status.add_argument(
        "--only", nargs="+", default=(), metavar="POOL", help="these pools; status 2 for an unknown one"
    )
    wait = commands.add_parser("wait", help="wait until nodes consume; a line for each; status 1 when one does not")
    drain = commands.add_parser("drain", help="wait until nodes have ended, saying what they still run; status 1: late")
    for waiting in (wait, drain):
        waiting.add_argument("--seconds", type=float, required=True)
    for listed, count in ((status, "*"), (wait, "+"), (drain, "+")):
        listed.add_argument("nodes", nargs=count, type=_daemon, metavar="NAME:STATE:PID")
    return parser


def _daemon(text: str) -> Daemon:
    name, state, pid = text.split(":")
    return Daemon(name, None if pid == "-" else int(pid), state == "alive")


def list_pools(ours: Settings) -> int:
    """The one place where the script learns pools, node names and command lines."""
    host = socket.gethostname()
    for pool in ours.topology.pools:
        for number in NUMBERS:
            words = worker_words(pool, number, ours.worker_log_level)
            facts = (pool.name, node_name(pool.name, number, host), ",".join(pool.queues))
            print(*facts, pool.processes, pool.prefetch_multiplier, *words, sep="\t")  # noqa: T201 - our answer
    return 0


def check_start(ours: Settings, names: Sequence[str]) -> int:
    """Whether there is a broker, and no node of these names that somebody else started. Says what is misspelt."""
    _complain(misspelt())
    url = ours.find_redis_url()
    if url is None:
        return _refuse(_NO_BROKER)
    redis = RedisConnection(ours)
    try:
        for name in names:
            stranger = find_stranger(redis, name)
            if stranger is not None:
                return _refuse(
                    f"{stranger['name']} already runs as process {stranger['pid']}, which was not started by this "
                    "script. ./scripts/up runs the pools itself, unless it is told --pools none."
                )
    except AWAY as error:
        return _refuse(f"The broker {masked_url(url)} does not answer ({server_words(error, password_of(url))}).")
    return 0


def show_status(ours: Settings, daemons: Sequence[Daemon], pids: Path, only: Sequence[str]) -> int:
    """The table of the configured pools and of those that still have a node; also when the broker is away."""
    known = list(dict.fromkeys([pool.name for pool in ours.topology.pools] + [daemon.pool for daemon in daemons]))
    unknown = [name for name in only if name not in known]
    if unknown:
        return _refuse(f"There is no pool {unknown[0]!r}; the pools are {' '.join(known)}.", 2)
    listed = []
    for pool in only or known:
        nodes = [daemon for daemon in daemons if daemon.pool == pool]
        listed += [replace(node, started_at=_modified(pids / f"celery_{node.name}.pid")) for node in nodes]
        listed += [] if nodes else [Daemon(pool, None, False)]
    beats, reason = None, _NO_BROKER
    if ours.find_redis_url() is not None:
        try:
            beats = read_beats(RedisConnection(ours))
        except AWAY as error:
            said = server_words(error, password_of(ours.require_redis_url()))
            reason = f"The broker does not answer ({said}): what is not known is shown as ?."
    now = time.time()
    queues = {pool.name: pool.queues for pool in ours.topology.pools}
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    _say(*table(listed, beats, queues, now, coloured=coloured))
    if beats is None:
        sys.stderr.write(f"{reason}\n")
    return exit_code(listed, beats, now)


def wait(ours: Settings, daemons: Sequence[Daemon], seconds: float) -> int:
    """``NAME<tab>ready|died|late`` for each node."""
    outcomes = []
    for daemon, outcome in wait_until_consuming(RedisConnection(ours), daemons, seconds):
        _say(f"{daemon.name}\t{outcome}")
        outcomes.append(outcome)
    return 0 if all(outcome is Outcome.READY for outcome in outcomes) else 1


def drain(ours: Settings, daemons: Sequence[Daemon], seconds: float) -> int:
    """Says what is left until nothing is."""
    for line in watch_drain(RedisConnection(ours), daemons, seconds):
        _say(line)
    return 1 if still_alive(daemons) else 0


def show_config(ours: Settings, *, as_json: bool, check: bool) -> int:
    """Every setting of a worker."""
    lines = misspelt()
    _complain(lines)
    if check:
        return 2 if lines else 0
    shown = rows(ours, read_file())
    if as_json:
        listed = [{"name": row.name, "value": row.value, "origin": str(row.origin)} for row in shown]
        _say(json.dumps({"settings": listed}, indent=2, ensure_ascii=False))
        return 0
    width = max(len(row.name) for row in shown)
    for title, members in groupby(shown, attrgetter("group")):
        _say(title, *(f"  {row.name:<{width}}  {row.text}  ({row.origin})" for row in members), "")
    return 0


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _complain(lines: Sequence[str]) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _refuse(sentence: str, status: int = 1) -> int:
    sys.stderr.write(f"{sentence}\n")
    return status


def _say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)  # noqa: T201 - a command's answer


def _run() -> int:
    try:
        return main(sys.argv[1:])
    except BrokenPipeError:
        # Whoever reads has read enough, as ``head`` does. Without this Python says so again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(_run())
