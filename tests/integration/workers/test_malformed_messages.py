"""No message, whatever it is, ends a node, goes round, or vanishes: it is run, or it is set aside."""

import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import redis

from pointsman_contract import keys
from pointsman_contract.queues import STEPS, list_key
from pointsman_contract.set_aside import MOST_KEPT
from tests.integration.workers.conftest import Worker
from tests.integration.workers.message_grammar import LIST, QUEUE, Grammar
from tests.integration.workers.support import ControlPlane
from tests.stand.waiting import until_now

COUNT = int(os.environ.get("POINTSMAN_MALFORMED_MESSAGES", "2000"))
SEED = int(os.environ.get("POINTSMAN_SEED", "0")) or random.SystemRandom().randrange(2**32)
_GOOD_EVERY = 20
_BATCH = 500


def left(plane: ControlPlane) -> int:
    """Messages that are still on the broker."""
    waiting = sum(plane.redis.llen(list_key(QUEUE, step)) for step in STEPS)
    return int(waiting + plane.redis.hlen("unacked") + plane.redis.zcard("unacked_index"))


@pytest.mark.parametrize("transport", ["pointsman", "stock"])
def test_whatever_a_message_is_the_node_lives_and_it_is_run_or_set_aside(
    own_plane: ControlPlane, start_worker: Callable[..., Worker], transport: str
) -> None:
    sys.stdout.write(f"{COUNT} messages (POINTSMAN_MALFORMED_MESSAGES) of seed {SEED} (POINTSMAN_SEED)\n")
    own_plane.declare(1)
    node = start_worker("-c", "2", "-Q", QUEUE, POINTSMAN_TRANSPORT=transport)
    until_now(lambda: own_plane.events(kind="catalogue"), "it to come up")
    sent = list(Grammar(SEED, epoch=1).messages(COUNT))
    good = []
    for start in range(0, COUNT, _BATCH):
        for index in range(start, min(start + _BATCH, COUNT), _GOOD_EVERY):
            own_plane.redis.lpush(LIST, *sent[index : index + _GOOD_EVERY])
            good.append(own_plane.publish("noop"))
        _until_taken(own_plane)
        assert node.process.poll() is None, node.text()[-3000:]
    until_now(lambda: _is_settled(own_plane, len(sent), len(good)), "all to be told")
    assert node.process.poll() is None
    fates = _fates(own_plane)
    sys.stdout.write(f"{dict(fates)}, for {_reasons(own_plane)}\n")
    assert fates["set aside"] + fates["run or told"] == len(sent) + len(good)
    assert {event.task for event in own_plane.events(kind="succeeded")} >= set(good)
    assert own_plane.redis.xlen(keys.SET_ASIDE) == min(MOST_KEPT, fates["set aside"])


def _reasons(plane: ControlPlane) -> Counter[str]:
    with redis.Redis.from_url(plane.url) as client:
        entries: Any = client.xrange(keys.SET_ASIDE)
    return Counter(fields[b"reason"].decode() for _, fields in entries)


def _until_taken(plane: ControlPlane) -> None:
    try:
        until_now(lambda: left(plane) == 0, "the messages to be taken")
    except AssertionError as error:
        with redis.Redis.from_url(plane.url) as client:
            error.add_note(f"left: {client.hgetall('unacked')}"[:5000])
        raise


def _is_settled(plane: ControlPlane, sent: int, good: int) -> bool:
    return sum(_fates(plane).values()) >= sent + good and left(plane) == 0


def _fates(plane: ControlPlane) -> Counter[str]:
    counts = plane.redis.hgetall(keys.SET_ASIDE_COUNTS)
    told = {event.task for event in plane.events() if event.task}
    found = list(plane.redis.scan_iter("celery-task-meta-*", 1000))
    results = [json.loads(text) for text in plane.redis.mget(found)] if found else []
    # Of an unknown task type Celery tells whoever waits for a result; it is set aside as well.
    ended = {result["task_id"] for result in results if "NotRegistered" not in str(result["result"])}
    aside = sum(int(count) for field, count in counts.items() if field.startswith("total:"))
    return Counter({"set aside": aside, "run or told": len(told | ended)})
