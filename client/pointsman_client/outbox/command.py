"""What a command that relays an outbox does."""

import argparse
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pointsman_client.outbox.relay import Pass, Relay
from pointsman_client.outbox.rows import DatabaseAway, Listed, Rows
from pointsman_client.outbox.words import SECONDS
from pointsman_client.sync.client import Client

log = logging.getLogger("pointsman_client.outbox")

_LISTED = 1000


def done(given: argparse.Namespace, rows: Rows, client: Client, say: Callable[[str], object]) -> int:
    """Do what the words say; 0 when it was done, 2 when a server is away. Raises ``ValueError`` for numbers that do not
    fit together.
    """
    options = {name[2:].replace("-", "_"): getattr(given, name[2:].replace("-", "_")) for name, _, _ in SECONDS}
    relay = Relay(rows, client, batch=given.batch, **options)
    try:
        if given.act == "run":
            with _stopped_by_signals(relay):
                log.info("the outbox is relayed to %s", client.url)
                relay.run()
        elif given.act == "once":
            return _once(relay, say)
        elif given.act == "refused":
            for found in rows.refused(_LISTED):
                say(_line(found))
        else:
            ids = None if given.ids == ["all"] else [int(word) for word in given.ids]
            number = rows.retry(ids) if given.act == "retry" else rows.drop(ids)
            say(f"{number} {'to be sent again' if given.act == 'retry' else 'deleted'}")
    except DatabaseAway as error:
        say(f"the database of the outbox is away: {error}")
        return 2
    return 0


def _once(relay: Relay, say: Callable[[str], object]) -> int:
    sent = refused = put_off = 0
    done = Pass(has_more=True)
    while done.has_more and done.failed is None:
        done = relay.single_pass()
        sent, refused, put_off = sent + done.sent, refused + done.refused, put_off + done.put_off
    say(f"{sent} sent, {refused} refused, {put_off} put off")
    if done.failed is None:
        return 0
    say(f"not all: {done.failed}")
    return 2


def _line(found: Listed) -> str:
    problem = found.problem or {}
    said = problem.get("detail") or problem.get("title") or "–"
    errors = problem.get("errors") or ()
    fields = "".join(f" {one.get('pointer', '')}: {one.get('detail', '')}" for one in errors if isinstance(one, dict))
    return f"{found.id}  {found.task_type}  {found.key}  {said}{fields}"


@contextmanager
def _stopped_by_signals(relay: Relay) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_: int, __: FrameType | None) -> None:
        relay.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
