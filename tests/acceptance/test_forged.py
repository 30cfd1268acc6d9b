"""What somebody who can write to Redis makes up, puts there again or edits: nothing of it is run or recorded."""

import base64
import json
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from pointsman_contract import keys
from pointsman_contract.key_rings import KeyRing
from pointsman_contract.message import delivery_tag
from pointsman_contract.queues import UNACKED
from pointsman_contract.signing import Signer
from pointsman_service.broker import Envelope, encode
from pointsman_service.embedded.valkey import ValkeyServer
from tests.stand.stack import Row, Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

SIGNED = {
    "POINTSMAN_MESSAGE_SIGNING": "require",
    "POINTSMAN_SIGNING_KEYS": f"2026-11:{'k' * 43},2026-10:{'j' * 43}",
    "POINTSMAN_RECORD_WAIT_SECONDS": "0.05",
}


@pytest.fixture
async def signing(database_url: str, own_valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Stack]:
    async with Stack(database_url, own_valkey, tmp_path, processes=3, variables=SIGNED) as running:
        yield running


@pytest.fixture
def broker(signing: Stack) -> Any:
    with redis.Redis.from_url(signing.redis_url, decode_responses=True) as connection:
        yield connection


async def held(stack: Stack, broker: Any, release: Path) -> tuple[str, dict[str, Any]]:
    """A running task and its message."""
    task = await stack.submit("ledger.hold", args=[str(release)], queue="email")
    await stack.wait_for_effects([task])
    raw, _, _ = json.loads(broker.hget(UNACKED, delivery_tag(task, 1)))
    return task, raw


def edited_messages(raw: dict[str, Any], release: Path) -> list[dict[str, Any]]:
    """The message with one thing changed, and one that somebody without a key made up as well as they could."""

    def changed(**header: Any) -> dict[str, Any]:
        made = deepcopy(raw)
        made["headers"]["pointsman"] |= header
        tag = delivery_tag(made["headers"]["id"], made["headers"]["pointsman"]["dispatch"])
        made["properties"]["delivery_tag"] = tag
        return made

    other_task, other_type, other_body, unlimited = (deepcopy(raw) for _ in range(4))
    named = str(uuid4())
    other_task["headers"] |= {"id": named, "root_id": named}
    other_task["properties"] |= {"correlation_id": named, "delivery_tag": delivery_tag(named, 1)}
    other_type["headers"]["task"] = "ledger.write"
    embed = json.loads(base64.b64decode(raw["body"]))[2]
    other_body["body"] = base64.b64encode(json.dumps([[str(release), "more"], {}, embed]).encode()).decode()
    unlimited["headers"]["timelimit"] = [1e6, None]
    made_up = Envelope(str(uuid4()), "ledger.write", "email", 3, "[]", "{}", 300.0, 1, 0, 1, None, None)
    epoch = raw["headers"]["pointsman"]["epoch"]
    by_another = Signer(KeyRing.parse(f"2026-11:{'x' * 43}"))
    forged = [encode(made_up, epoch), encode(made_up._replace(task_id=str(uuid4())), epoch, by_another, "1.0")]
    native = deepcopy(raw)
    del native["headers"]["pointsman"]
    native["headers"] |= {"id": named, "task": "ledger.write"}
    native["properties"]["delivery_tag"] = named
    return [
        changed(dispatch=2),
        changed(after=1),
        changed(max_attempts=9),
        changed(signed="0 2026-11 AAAA"),
        other_task,
        other_type,
        other_body,
        unlimited,
        native,
        *(json.loads(f'{head}1,"sent_at":{2**32}.5{tail}') for head, tail in forged),
    ]


async def count_left_out(stack: Stack) -> dict[str, int]:
    return {row["reason"]: row["entries"] for row in await stack.rows("SELECT reason, entries FROM left_out_event")}


async def truth(stack: Stack) -> list[list[Row]]:
    """Everything that is recorded of tasks and workers."""
    tables = (
        "SELECT id, state, result, error_type, finished_at FROM task ORDER BY id",
        "SELECT id, state, attempt, dispatch, cancel_requested_at FROM task_live ORDER BY id",
        "SELECT * FROM task_attempt ORDER BY task_id, attempt",
        "SELECT id FROM native_run ORDER BY id",
        "SELECT task_id, first_line, lines FROM run_log ORDER BY id",
        "SELECT name FROM task_type ORDER BY name",
        "SELECT owner FROM worker ORDER BY owner",
    )
    return [await stack.rows(table) for table in tables]


async def test_messages_that_were_forged_replayed_or_edited_are_not_run(
    signing: Stack, broker: Any, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    task, raw = await held(signing, broker, release)
    release.touch()
    assert (await signing.finished(task))["state"] == "succeeded"
    before, effects = await truth(signing), signing.ledger.effects()

    async def emptied() -> bool:
        return not broker.exists("email", "critical") and not broker.hlen(UNACKED)

    made = edited_messages(raw, release)
    for message in made:
        broker.lpush("email", json.dumps(message))
    broker.lpush("critical", json.dumps(raw))
    await until(emptied, "the edited messages to be taken")

    async def aside() -> bool:
        found = (await signing.http.get("/v1/set-aside-messages")).json()["items"]
        return len(found) == len(made) + 1

    await until(aside, "them to be set aside")
    for refused in (await signing.http.get("/v1/set-aside-messages")).json()["items"]:
        assert "signed" in refused["reason"] or "signature" in refused["reason"], refused
    # As it was, with its claim and without.
    broker.lpush("email", json.dumps(raw))
    await until(emptied, "the replayed message to be taken")
    assert broker.delete(keys.claim(task)) == 1
    later = deepcopy(raw)
    later["headers"]["pointsman"]["sent_at"] = float(2**32)
    broker.lpush("email", json.dumps(later))
    await until(emptied, "the replayed message to be taken")
    # What is submitted goes on as ever, behind all of that.
    sound = await signing.submit("ledger.write", queue="email")
    assert (await signing.finished(sound))["state"] == "succeeded"
    assert signing.ledger.effects() == effects | {sound: 1}
    await signing.execute("DELETE FROM task WHERE id = :id", id=sound)
    assert await truth(signing) == before


async def test_events_that_were_forged_replayed_or_edited_are_not_recorded(
    signing: Stack, broker: Any, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    ended, _ = await held(signing, broker, first)
    running, _ = await held(signing, broker, second)
    assert (await signing.finished(await signing.submit("ledger.priced", args=[{}])))["state"] == "failed"
    stream = keys.events(int(broker.hget(keys.CONTROL, "epoch")))
    signing.service.freeze_all()
    first.touch()

    async def reported() -> list[dict[str, str]]:
        return [fields for _, fields in broker.xrange(stream) if fields["kind"] == "succeeded"]

    (success,) = await until(reported, "the outcome to be reported")
    signing.service.thaw_all()
    assert (await signing.finished(ended))["result"] == "released"
    before = await truth(signing)
    worker = json.loads(success["body"])["worker"]
    body = json.loads(success["body"]) | {"result": '"forged"'}
    of_another = success | {"task": running}
    unsigned = {name: value for name, value in success.items() if name != "signed"}
    plain = {"kind": "native", "task": "n", "attempt": "0", "at": success["at"], "late": "0"}
    state = {"task_type": "forged", "queue": "email", "worker": worker}
    edited = [
        of_another,
        of_another | {"signed": success["signed"].replace("2026-11", "2026-10")},
        {name: value for name, value in of_another.items() if name != "signed"},
        success | {"kind": "failed"},
        success | {"kind": "progress"},
        success | {"attempt": "2"},
        success | {"late": "1"},
        success | {"at": "1700000000.000000"},
        success | {"breaker": "task_type:x"},
        success | {"body": json.dumps(body)},
        unsigned | {"kind": "expired", "task": running, "attempt": "1"},
        unsigned | {"kind": "revoked", "task": running, "body": '{"by": "me", "kill": true}'},
        plain | {"body": json.dumps(state | {"state": "SUCCESS", "run_seconds": 1.0})},
        plain | {"kind": "catalogue", "task": "", "body": json.dumps({"worker": worker, "specs": []})},
    ]
    for entry in edited:
        broker.xadd(stream, entry)
    broker.xadd(stream, success)
    lines = {"task": running, "attempt": "1", "run": "a1", "first": "1", "count": "1", "last": "0"}
    broker.xadd(keys.LINES, lines | {"lines": '[[1700000000.5,"info","x","forged"]]'})
    broker.hset(keys.claim(running), "cancel", "0")
    beat = json.loads(broker.hget(keys.BEATS, worker)) | {"owner": "forged@host#1"}
    for counter in range(3):
        broker.hset(keys.BEATS, "forged@host#1", json.dumps(beat | {"counter": counter}))
    answer = signing.celery_from_another_shell("control", "revoke", running)
    assert "message_signing=require" in answer.stdout + answer.stderr

    async def left_out() -> bool:
        return (await count_left_out(signing)).get("forged", 0) == len(edited) + 1 and not broker.xlen(stream)

    await until(left_out, "the events to be left out")
    assert await truth(signing) == before
    second.touch()
    assert (await signing.finished(running))["result"] == "released"
    sample = f'pointsman_events_left_out_total{{reason="forged"}} {len(edited) + 1}'

    async def exposed() -> bool:
        return sample in (await signing.http.get("/metrics")).text

    # The text is made every five seconds.
    await until(exposed, "it to be among the metrics")
