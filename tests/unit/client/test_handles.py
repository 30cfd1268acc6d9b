import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from pointsman_client import (
    CallNotAllowed,
    Client,
    NeverSent,
    NotSigned,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    TaskStillRunning,
    verify_webhook,
)
from pointsman_client.calling.batches import chunks_of, items_of
from pointsman_client.models import BatchItem
from pointsman_client.problems import InvalidArguments, UnknownTask
from tests.stand.waiting import SLOWEST
from tests.unit.client.scripted import HALVES, RESET, answer, by, problem, scripted

either = pytest.mark.parametrize("half", HALVES)
TASK: dict[str, Any] = {"id": "t-1", "task_type": "echo", "state": "queued", "result": None, "error": None}
DONE = TASK | {"state": "succeeded", "result": [1]}
ERROR = {"type": "ValueError", "message": "no card", "traceback": "", "group": None}


def result(half: str, url: str, timeout: float = 5.0) -> Any:
    return by(half, url, lambda client: client.tasks.handle("t-1").result(timeout=timeout))


@either
def test_a_submission_is_one_line(half: str) -> None:
    with scripted(answer(202, TASK)) as api:
        tasks = by(half, api.url, lambda client: client.tasks.submit("echo", 1, to="ada"))
    assert (tasks.id, repr(tasks)) == ("t-1", "Handle('t-1', 'echo')")
    assert api.asked[0].body == {"task_type": "echo", "args": [1], "kwargs": {"to": "ada"}}


@either
def test_a_submission_says_more_where_it_is_asked_to(half: str) -> None:
    def submit(client: Any) -> Any:
        quiet = client.tasks.with_options(queue="email", tags={"a": "b"})
        return quiet.with_options(idempotency_key="order-7").submit("echo", task_type="a kwarg")

    with scripted(answer(202, TASK)) as api:
        by(half, api.url, submit)
    assert api.asked[0].body == {
        "task_type": "echo", "kwargs": {"task_type": "a kwarg"}, "queue": "email", "tags": {"a": "b"},
    }  # fmt: skip
    assert api.keys() == ["order-7"]


@either
def test_a_result_is_waited_for_within_one_request(half: str) -> None:
    with scripted(answer(200, DONE)) as api:
        assert result(half, api.url) == [1]
    assert [asked.headers.get("prefer") for asked in api.asked] == ["wait=5"]


@either
@pytest.mark.parametrize(
    ("state", "kind"), [("failed", TaskFailed), ("cancelled", TaskCancelled), ("expired", TaskExpired)]
)
def test_a_task_without_a_result_says_why(half: str, state: str, kind: type[Exception]) -> None:
    ended = TASK | {"state": state, "error": ERROR}
    with (
        scripted(answer(200, ended)) as api,
        pytest.raises(kind, match=r"echo t-1 is .*: ValueError: no card") as failed,
    ):
        result(half, api.url)
    assert failed.value.task.state == state  # type: ignore[attr-defined]


@either
def test_a_wait_that_is_over_names_the_task_and_cancels_nothing(half: str) -> None:
    with scripted(answer(200, TASK)) as api:
        began = time.monotonic()
        with pytest.raises(TaskStillRunning, match=r"echo t-1 is queued after 1\.2 s") as still:
            result(half, api.url, 1.2)
        assert 1.1 < time.monotonic() - began < 1.2 + SLOWEST * 1.3
    assert still.value.task_id == "t-1"
    assert {asked.line.split()[0] for asked in api.asked} == {"GET"}
    # An API that lets nobody wait is not asked again and again.
    assert len(api.asked) <= 4


@either
def test_a_wait_outlives_an_api_that_is_away(half: str) -> None:
    with scripted(RESET, problem("database-away", 503), RESET, answer(200, DONE)) as api:
        assert result(half, api.url, 30.0) == [1]


@either
def test_a_wait_for_a_task_that_is_not_there_ends_at_once(half: str) -> None:
    with scripted(problem("unknown-task", 404)) as api, pytest.raises(UnknownTask):
        result(half, api.url)


ITEM = BatchItem(task_type="echo")


@either
def test_many_are_submitted_and_each_is_told(half: str) -> None:
    refused = {"type": "urn:pointsman:problem:invalid-arguments", "detail": "No."}
    told = {
        "accepted": 1,
        "refused": 1,
        "results": [{"status": 202, "task": TASK}, {"status": 422, "problem": refused}],
    }
    with scripted(answer(503), answer(207, told)) as api:
        items = [BatchItem(task_type="echo", idempotency_key="mine"), ITEM]
        first, second = by(half, api.url, lambda c: c.tasks.with_options(queue="email").submit_many(items))
    assert (first.handle.id, first.error, first.key) == ("t-1", None, "mine")
    assert isinstance(second.error, InvalidArguments)
    assert second.handle is None
    sent = [asked.body["tasks"] for asked in api.asked]
    assert sent[0] == sent[1], "the same keys at each attempt"
    assert [item["queue"] for item in sent[0]] == ["email", "email"]
    assert len({item["idempotency_key"] for item in sent[0]}) == 2


def told(*results: Any, status: int = 207, **headers: str) -> bytes:
    """An answer to a batch: the id of a task, or a problem, of each."""
    found = [
        {"status": 202, "task": TASK | {"id": each}}
        if each.startswith("t-")
        else {"status": LATER.get(each, 422), "problem": {"type": f"urn:pointsman:problem:{each}", "detail": "No."}}
        for each in results
    ]
    return answer(status, {"results": found}, **headers)


LATER = {"rate-exceeded": 429, "quota-full": 429, "backlog-full": 503, "breaker-open": 503}


@either
def test_those_of_many_that_are_refused_for_now_are_submitted_again_alone_and_with_their_keys(half: str) -> None:
    answers = (
        told("t-0", "rate-exceeded", "invalid-arguments", "backlog-full", "breaker-open", Retry_After="0"),
        told("quota-full", "t-3"),
        told("t-1", status=202),
    )
    with scripted(*answers) as api:
        found = by(half, api.url, lambda c: c.tasks.submit_many([ITEM] * 5))
    assert [each.handle and each.handle.id for each in found] == ["t-0", "t-1", None, "t-3", None]
    assert [type(found[place].error).__name__ for place in (2, 4)] == ["InvalidArguments", "BreakerOpen"]
    keys = [each.key for each in found]
    sent = [[item["idempotency_key"] for item in asked.body["tasks"]] for asked in api.asked]
    assert sent == [keys, [keys[1], keys[3]], [keys[1]]]


@either
def test_many_are_refused_for_now_no_longer_than_a_call_may_take(half: str) -> None:
    """What comes after them is tried once: a limit that holds on must not cost its time for each of many requests."""
    answers = told("t-0", "quota-full", Retry_After="99"), told("t-2", "quota-full", Retry_After="0")
    with scripted(*answers) as api:
        found = by(half, api.url, lambda c: c.tasks.submit_many([ITEM] * 4, at_once=2))
    assert [each.handle and each.handle.id for each in found] == ["t-0", None, "t-2", None]
    assert found[1].error.retry_after_seconds == 99
    assert len(api.asked) == 2


@either
@pytest.mark.parametrize(
    ("second", "name"),
    [(problem("database-away", 503, Retry_After="99"), "DatabaseAway"), (told("t-1", "t-2"), "Refused")],
    ids=["away", "no Pointsman"],
)
def test_what_was_stored_of_many_is_told_when_the_rest_cannot_be(half: str, second: bytes, name: str) -> None:
    with scripted(told("t-0", "rate-exceeded", Retry_After="0"), second) as api:
        found = by(half, api.url, lambda c: c.tasks.submit_many([ITEM] * 2))
    assert found[0].handle.id == "t-0"
    assert type(found[1].error).__name__ == name
    assert len(api.asked) == 2


@either
def test_many_that_are_all_refused_are_told_one_by_one(half: str) -> None:
    refused = {"type": "urn:pointsman:problem:invalid-arguments", "detail": "No."}
    with scripted(problem("nothing-accepted", 422, results=[None, {"status": 422, "problem": refused}])) as api:
        first, second = by(half, api.url, lambda c: c.tasks.submit_many([ITEM, ITEM], atomic=True))
    assert (first.error.problem, second.error.problem) == ("nothing-accepted", "invalid-arguments")


@either
def test_one_that_refuses_a_whole_request_is_found_and_refuses_no_other(half: str) -> None:
    too_deep = problem("invalid-request", 422, errors=[{"pointer": "", "detail": "is nested deeper than 34 levels"}])
    with scripted(too_deep, told("t-0", "t-1"), too_deep, told("t-2"), too_deep) as api:
        found = by(half, api.url, lambda c: c.tasks.submit_many([ITEM] * 4))
    assert [each.handle and each.handle.id for each in found] == ["t-0", "t-1", "t-2", None]
    assert type(found[3].error).__name__ == "InvalidRequest"
    assert [len(asked.body["tasks"]) for asked in api.asked] == [4, 2, 2, 1, 1]


@either
@pytest.mark.parametrize("refused", [("body-too-large", 413), ("invalid-request", 422)], ids=["bytes", "values"])
def test_many_that_are_too_long_for_one_request_are_sent_in_halves(half: str, refused: tuple[str, int]) -> None:
    one = answer(202, {"accepted": 1, "refused": 0, "results": [{"status": 202, "task": TASK}]})
    with scripted(problem(*refused), one) as api:
        found = by(half, api.url, lambda c: c.tasks.submit_many([ITEM, ITEM]))
    assert [each.handle.id for each in found] == ["t-1", "t-1"]
    assert [len(asked.body["tasks"]) for asked in api.asked] == [2, 1, 1]


@either
def test_what_comes_after_a_request_that_was_given_up_is_not_sent(half: str) -> None:
    with scripted(problem("database-away", 503)) as api:
        found = by(half, api.url, lambda c: c.tasks.submit_many([ITEM] * 3, at_once=1), retries=0)
    assert [type(each.error).__name__ for each in found] == ["DatabaseAway", "NeverSent", "NeverSent"]
    assert len(api.asked) == 1


@either
def test_a_key_that_is_revoked_in_the_middle_of_many_is_not_tried_with_all_of_the_rest(half: str) -> None:
    with scripted(told("t-0"), problem("key-revoked", 401)) as api:
        found = by(half, api.url, lambda c: c.tasks.submit_many([ITEM] * 4, at_once=1))
    assert [type(each.error).__name__ for each in found] == ["NoneType", "KeyRevoked", "NeverSent", "NeverSent"]
    assert len(api.asked) == 2


def test_a_batch_is_cut_by_number_and_by_length() -> None:
    items = [BatchItem(task_type="echo", args=["x" * 1_500_000])] * 5 + [ITEM] * 5
    assert [len(chunk) for chunk in chunks_of(items_of(items, {}), 4)] == [2, 2, 4, 2]


PERMIT = {"granted": True, "permit": "p-1", "expires_at": None, "state": "half_open", "epoch": 8, "retry_at": None}
BREAKER = {"counted": 1}


def guard(half: str, url: str, error: BaseException | None = None, **options: Any) -> None:
    if half == "blocking":
        with Client(url) as client, client.breakers.guard("api.bank.example", **options):
            if error is not None:
                raise error
        return

    async def inside(client: Any) -> None:
        async with client.breakers.guard("api.bank.example", **options):
            if error is not None:
                raise error

    by(half, url, inside)


@either
def test_a_guarded_call_is_asked_for_and_reported(half: str) -> None:
    with scripted(answer(200, PERMIT), answer(200, BREAKER)) as api:
        guard(half, api.url)
    assert [asked.line.split()[1] for asked in api.asked] == [
        "/v1/breakers/dependency/api.bank.example/permits", "/v1/breakers/dependency/api.bank.example/outcomes",
    ]  # fmt: skip
    (outcome,) = api.asked[1].body["outcomes"]
    assert outcome.pop("run_seconds") < 5
    assert outcome == {"outcome": "success", "epoch": 8, "permit": "p-1"}


@either
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TimeoutError("pm_secret"), {"outcome": "failure", "error": "TimeoutError"}),
        (json.JSONDecodeError("", "", 0), {"outcome": "failure", "error": "json.decoder.JSONDecodeError"}),
        (KeyError("a"), {"outcome": "ignored"}),
        (GeneratorExit(), {"outcome": "ignored"}),
    ],
)
def test_how_a_guarded_call_ended_is_told(half: str, error: BaseException, outcome: dict[str, str]) -> None:
    with scripted(answer(200, PERMIT | {"permit": None}), answer(200, BREAKER)) as api:
        with pytest.raises(type(error)):
            guard(half, api.url, error, ignored=KeyError)
        (told,) = api.asked[1].body["outcomes"]
    assert {name: value for name, value in told.items() if name not in ("run_seconds", "epoch")} == outcome


@either
def test_a_call_that_its_breaker_does_not_allow_is_not_made(half: str) -> None:
    refused = PERMIT | {"granted": False, "state": "open", "retry_at": "2026-11-29T08:00:00Z"}
    with scripted(answer(200, refused)) as api, pytest.raises(CallNotAllowed, match="is open") as no:
        guard(half, api.url, AssertionError())
    assert no.value.retry_at is not None
    assert len(api.asked) == 1


@either
def test_a_pointsman_that_is_away_stops_no_call(half: str, caplog: pytest.LogCaptureFixture) -> None:
    guard(half, "http://127.0.0.1:9", seconds=0.3)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "a call to api.bank.example is not guarded", "the outcome of a call to api.bank.example could not be reported",
    ]  # fmt: skip


SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()


def signed(body: bytes, at: int, key: bytes = b"k" * 24) -> dict[str, str]:
    signature = hmac.new(key, b"m-1." + str(at).encode() + b"." + body, hashlib.sha256).digest()
    return {"Webhook-Id": "m-1", "Webhook-Timestamp": str(at),
            "Webhook-Signature": f"v1a,x v1,{base64.b64encode(signature).decode()}"}  # fmt: skip


def test_a_webhook_is_taken_by_any_of_its_secrets() -> None:
    other = "whsec_" + base64.b64encode(b"o" * 24).decode()
    body = b'{"type": "alert.opened"}'
    assert verify_webhook([other, SECRET], body, signed(body, 1000), now=1100.0) == {"type": "alert.opened"}


@pytest.mark.parametrize(
    ("body", "headers", "now"),
    [
        (b'{"a": 2}', signed(b'{"a": 1}', 1000), 1000.0),
        (b'{"a": 1}', signed(b'{"a": 1}', 1000, b"o" * 24), 1000.0),
        (b'{"a": 1}', signed(b'{"a": 1}', 1000), 1301.0),
        (b'{"a": 1}', signed(b'{"a": 1}', 1000), 600.0),
        (b'{"a": 1}', {}, 1000.0),
    ],
)
def test_a_webhook_that_is_forged_changed_or_old_is_refused(body: bytes, headers: dict[str, str], now: float) -> None:
    with pytest.raises(NotSigned):
        verify_webhook(SECRET, body, headers, now=now)


def test_a_message_as_the_service_signs_it_is_taken() -> None:
    from pydantic import SecretStr

    from pointsman_service.alert.webhook import signed as signed_by_the_service

    body = b'{"type": "alert.opened"}'
    headers = dict(signed_by_the_service("m-1", int(time.time()), body, [SecretStr(SECRET)]))
    assert verify_webhook(SECRET, body, headers) == {"type": "alert.opened"}


def test_nothing_of_a_task_is_sent_when_its_arguments_are_no_json() -> None:
    with scripted(answer(202, TASK)) as api, Client(api.url) as client, pytest.raises(TypeError, match="object"):
        client.tasks.submit("echo", object())
    assert api.asked == []
    assert issubclass(NeverSent, Exception)
