"""Whatever is sent, the answer is a problem document, never a 500, and nothing is stored."""

import json
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from tests.stand.stack import Stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

KIB = 1024


class Bad(NamedTuple):
    """A request and what it is answered."""

    name: str
    status: int
    case: str
    content: bytes | dict[str, Any] | None = None
    pointer: str | None = None
    method: str = "POST"
    path: str = "/v1/tasks"
    headers: tuple[tuple[str, str], ...] = ()


def noop(**fields: Any) -> dict[str, Any]:
    return {"task_type": "noop", **fields}


def raw(arguments: bytes) -> bytes:
    return b'{"task_type": "noop", "args": [' + arguments + b"]}"


DEEP = b"[" * 40 + b"]" * 40
BATCH = "/v1/tasks/batch"
VALIDATE = "/v1/tasks/validate"

CASES = [
    Bad("cut off", 400, "malformed-json", b'{"task_type": "noop"'),
    Bad("empty", 400, "malformed-json", b""),
    Bad("not UTF-8", 400, "malformed-json", b'{"task_type": "\xff"}'),
    Bad("malformed batch", 400, "malformed-json", b'{"tasks": [', path=BATCH),
    Bad("key too long", 400, "bad-request", noop(), headers=(("Idempotency-Key", "k" * 256),)),
    Bad("key empty", 400, "bad-request", noop(), headers=(("Idempotency-Key", '""'),)),
    Bad("key not printable", 400, "bad-request", noop(), headers=(("Idempotency-Key", "a\tb"),)),
    Bad("unknown id", 404, "unknown-task", method="GET", path=f"/v1/tasks/{uuid4()}"),
    Bad("no id", 404, "unknown-task", method="GET", path="/v1/tasks/never"),
    Bad("attempts of an unknown id", 404, "unknown-task", method="GET", path=f"/v1/tasks/{uuid4()}/attempts"),
    Bad("unknown queue", 404, "no-such-queue", method="GET", path="/v1/queues/nowhere"),
    Bad("unknown task type", 404, "not-found", method="GET", path="/v1/task-types/nobody.knows"),
    Bad("not built yet", 404, "not-found", {}, path=f"/v1/tasks/{uuid4()}/audit"),
    Bad("why an unknown id waits", 404, "unknown-task", method="GET", path=f"/v1/tasks/{uuid4()}/explain"),
    Bad("retry of an unknown id", 404, "unknown-task", path=f"/v1/tasks/{uuid4()}/retry"),
    Bad("wrong method", 405, "method-not-allowed", method="DELETE"),
    Bad("wrong method of a queue", 405, "method-not-allowed", method="PUT", path="/v1/queues/critical"),
    Bad("too large", 413, "body-too-large", raw(b'"' + b"x" * 256 * KIB + b'"')),
    Bad("batch too large", 413, "body-too-large", b" " * (8 * KIB * KIB + 1), path=BATCH),
    Bad("wrong media type", 415, "unsupported-media-type", b"noop", headers=(("Content-Type", "text/plain"),)),
    Bad("too deep", 422, "invalid-request", raw(DEEP), ""),
    Bad("much too deep", 422, "invalid-request", raw(b"[" * 100_000 + b"]" * 100_000), ""),
    Bad("NaN", 422, "invalid-request", raw(b"NaN"), "/args/0"),
    Bad("infinity", 422, "invalid-request", raw(b"-Infinity"), "/args/0"),
    Bad("too large a number", 422, "invalid-request", raw(b"1e999"), "/args/0"),
    Bad("NUL", 422, "invalid-request", raw(rb'"a\u0000b"'), "/args/0"),
    Bad("no value of Celery's", 422, "invalid-request", noop(args=[{"__type__": "x", "__value__": 1}]), "/args/0"),
    Bad("NUL in a key", 422, "invalid-request", noop(kwargs={"a\x00": 1}), "/kwargs"),
    Bad("NUL in a tag", 422, "invalid-request", noop(tags={"a": "\x00"}), "/tags/a"),
    Bad("lone surrogate", 422, "invalid-request", raw(rb'"\ud800"'), "/args/0"),
    Bad("no object", 422, "invalid-request", b"[]", ""),
    Bad("no task type", 422, "invalid-request", {}, "/task_type"),
    Bad("unknown task type", 422, "unknown-task-type", {"task_type": "nobody.knows"}, "/task_type"),
    Bad("NUL in the task type", 422, "unknown-task-type", {"task_type": "no\x00op"}, "/task_type"),
    Bad("wrong argument", 422, "invalid-arguments", {"task_type": "sleep", "args": ["ten"]}, "/args/0"),
    Bad("missing argument", 422, "invalid-arguments", {"task_type": "sleep"}, "/kwargs"),
    Bad("unknown argument", 422, "invalid-arguments", {"task_type": "sleep", "args": [1], "kwargs": {"x": 1}}),
    Bad("too many arguments", 422, "invalid-arguments", {"task_type": "sleep", "args": [1, 2]}, "/args/1"),
    Bad("bad queue", 422, "unknown-queue", noop(queue="nowhere"), "/queue"),
    Bad("NUL queue", 422, "unknown-queue", noop(queue="\x00"), "/queue"),
    Bad("priority too high", 422, "invalid-request", noop(priority=11), "/priority"),
    Bad("priority too low", 422, "invalid-request", noop(priority=-1), "/priority"),
    Bad("priority no number", 422, "invalid-request", noop(priority="high"), "/priority"),
    Bad("max_attempts", 422, "invalid-request", noop(max_attempts=0), "/max_attempts"),
    Bad("dependency's name", 422, "invalid-request", noop(dependencies=["smtp", "a\nb"]), "/dependencies/1"),
    Bad("many dependencies", 422, "invalid-request", noop(dependencies=[f"d{n}" for n in range(11)]), "/dependencies"),
    Bad("on_breaker_open", 422, "invalid-request", noop(on_breaker_open="wait"), "/on_breaker_open"),
    Bad("key in a single body", 422, "invalid-request", noop(idempotency_key="k"), "/idempotency_key"),
    Bad("time without offset", 422, "invalid-request", noop(scheduled_at="2030-01-01T00:00:00"), "/scheduled_at"),
    Bad("time as a number", 422, "invalid-request", noop(scheduled_at=1_900_000_000), "/scheduled_at"),
    Bad("time of digits", 422, "invalid-request", noop(scheduled_at="2030"), "/scheduled_at"),
    Bad("field twice", 422, "invalid-request", b'{"task_type": "noop", "queue": "email", "queue": "reports"}', ""),
    Bad("argument twice", 422, "invalid-request", b'{"task_type": "noop", "kwargs": {"a": 1, "a": 2}}', "/kwargs"),
    Bad("field of an item twice", 422, "invalid-request",
        b'{"tasks": [{"task_type": "noop"}, {"task_type": "noop", "task_type": "echo"}]}', "/tasks/1", path=BATCH),
    Bad("expired already", 422, "invalid-request", noop(expires_at="2020-01-01T00:00:00Z"), "/expires_at"),
    Bad("negative delay", 422, "invalid-request", noop(delay_seconds=-1), "/delay_seconds"),
    Bad("no timeout", 422, "invalid-request", noop(timeout_seconds=0), "/timeout_seconds"),
    Bad("tag no text", 422, "invalid-request", noop(tags={"a": 1}), "/tags/a"),
    Bad("unknown parameter", 422, "invalid-request", noop(), "/query/wait", path="/v1/tasks?wait=1"),
    Bad("unknown parameter of a batch", 422, "invalid-request", {"tasks": [noop()]}, "/query/x", path=f"{BATCH}?x="),
    Bad("unknown parameter to validate", 422, "invalid-request", noop(), "/query/x", path=f"{VALIDATE}?x=1"),
    Bad("unknown parameter of a list", 422, "invalid-request", None, "/query/sort", "GET", "/v1/tasks?sort=id"),
    Bad("parameter twice", 422, "invalid-request", None, "/query/state", "GET", "/v1/tasks?state=queued&state=held"),
    Bad("queue of nobody", 422, "invalid-request", None, "/query/queue", "GET", "/v1/tasks?queue=nowhere"),
    Bad("type of nobody", 422, "invalid-request", None, "/query/task_type", "GET", "/v1/dead-letters?task_type=x"),
    Bad("limit no number", 422, "invalid-request", None, "/query/limit", "GET", "/v1/tasks?limit=many"),
    Bad("cursor of nobody", 422, "invalid-request", None, "/query/cursor", "GET", "/v1/tasks?cursor=x"),
    Bad("unknown state", 422, "invalid-request", None, "/query/state", "GET", "/v1/tasks?state=lost"),
    Bad("unknown grouping", 422, "invalid-request", None, "/query/group_by", "GET", "/v1/metrics/tasks?group_by=x"),
    Bad("empty batch", 422, "invalid-request", {"tasks": []}, "/tasks", path=BATCH),
    Bad("batch of too many", 422, "invalid-request", {"tasks": [noop()] * 1001}, "/tasks", path=BATCH),
    Bad("unknown field of a batch", 422, "invalid-request", {"tasks": [noop()], "x": 1}, "/x", path=BATCH),
    Bad("key of a whole batch", 422, "invalid-request", {"tasks": [noop()]}, None, "POST", BATCH,
        (("Idempotency-Key", "k"),)),
    Bad("batch without a good item", 422, "nothing-accepted", {"tasks": [noop(priority=11), 1]}, path=BATCH),
    Bad("bad queue to validate", 422, "unknown-queue", noop(queue="nowhere"), "/queue", path=VALIDATE),
    Bad("malformed to validate", 400, "malformed-json", b"{", path=VALIDATE),
]  # fmt: skip


@pytest.mark.parametrize("bad", CASES, ids=[case.name for case in CASES])
async def test_bad_request_is_answered_with_its_problem(stack: Stack, bad: Bad) -> None:
    content = json.dumps(bad.content).encode() if isinstance(bad.content, dict) else bad.content
    headers = {"Content-Type": "application/json"} | dict(bad.headers)

    answer = await stack.http.request(bad.method, bad.path, content=content, headers=headers)

    assert (answer.status_code, answer.headers["content-type"]) == (bad.status, "application/problem+json"), answer.text
    problem = answer.json()
    assert problem["type"] == f"urn:pointsman:problem:{bad.case}"
    assert problem["status"] == bad.status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == bad.path.partition("?")[0]
    assert "Traceback" not in answer.text
    if bad.pointer is not None:
        assert bad.pointer in [error["pointer"] for error in problem["errors"]], problem["errors"]
        assert all(error["detail"] for error in problem["errors"])


async def test_refused_submissions_store_nothing(stack: Stack) -> None:
    count = "SELECT (SELECT count(*) FROM task) + (SELECT count(*) FROM task_live) AS tasks"
    before = await stack.rows(count)
    counted_before = (await stack.counters())["submitted"]

    for bad in CASES:
        if bad.method == "POST":
            content = json.dumps(bad.content).encode() if isinstance(bad.content, dict) else bad.content
            headers = {"Content-Type": "application/json"} | dict(bad.headers)
            assert (await stack.http.post(bad.path, content=content, headers=headers)).status_code < 500
    validated = await stack.http.post(VALIDATE, json=noop(priority=9))

    assert (validated.status_code, validated.json()["queue"]) == (200, "high_priority")
    assert await stack.rows(count) == before
    assert (await stack.counters())["submitted"] == counted_before
    assert (await stack.finished(await stack.submit("noop")))["state"] == "succeeded"
