"""Queues by the command line."""

from argparse import Namespace

from pointsman_client.commands.exits import Exit
from pointsman_client.commands.voice import Voice
from pointsman_client.models import Queue
from pointsman_client.sync.client import Client


def queues(client: Client, given: Namespace, voice: Voice) -> Exit:
    """All of them, or one; paused or resumed."""
    if given.act in ("pause", "resume"):
        act = client.queues.pause if given.act == "pause" else client.queues.resume
        done = act(given.name, reason=given.reason)
        if voice.as_json:
            voice.document(done)
        else:
            voice.line(f"{given.name} is {'paused' if given.act == 'pause' else 'resumed'}")
        return Exit.WELL
    found = client.queues.list().items if given.name is None else [client.queues.get(given.name)]
    if voice.as_json:
        for queue in found:
            voice.document(queue)
        return Exit.WELL
    voice.table(
        ("QUEUE", "PRIORITY", "WAITING", "RUNNING", "OLDEST (S)", "TARGET (S)", "MET", "CONSUMERS", "STATE"),
        [_row(queue) for queue in found],
    )
    return Exit.WELL


def _row(queue: Queue) -> tuple[object, ...]:
    met = None if queue.sla_attainment is None else f"{100 * queue.sla_attainment:.1f} %"
    state = "open"
    if queue.paused:
        state = f"paused by {queue.paused_by}: {queue.pause_reason}"
    elif queue.held_by:
        state = ", ".join(f"{held.tasks:,} held by {held.reason}" for held in queue.held_by)
    return (
        queue.name, queue.priority, queue.waiting, queue.running, queue.oldest_wait_seconds, queue.sla_seconds, met,
        queue.consumers, state,
    )  # fmt: skip
