import time
from datetime import datetime
from typing import Any

import httpx
import pytest

from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_service.api.breakers.view import BreakerView
from pointsman_service.breaker.registry import Registry
from pointsman_service.operate.force_breaker import BreakerHand
from pointsman_service.reconcile.breakers import BreakerSweep
from tests.integration.spine import Spine

WEATHER = "/v1/breakers/dependency/api.weather.com"
FAILURE = {"outcome": "failure"}
SUCCESS = {"outcome": "success"}
REASON = {"reason": "they said so"}


async def report(api: httpx.AsyncClient, *outcomes: dict[str, Any], path: str = WEATHER) -> dict[str, Any]:
    answer = await api.post(f"{path}/outcomes", json={"outcomes": list(outcomes)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def state(api: httpx.AsyncClient, path: str = WEATHER) -> str:
    found: str = (await api.get(path)).json()["state"]
    return found


async def value(spine: Spine, sql: str) -> Any:
    (row,) = await spine.rows(sql)
    (found,) = row.values()
    return found


async def let_wait_pass(spine: Spine) -> None:
    """As if the breaker had been open for its whole wait."""
    await spine.run(
        "UPDATE breaker SET turns_at = now(), machine = jsonb_set(machine, '{retry_at}',"
        " to_jsonb(extract(epoch FROM now())::float8))"
    )


async def half_open(api: httpx.AsyncClient, spine: Spine) -> None:
    await report(api, *[FAILURE] * 5)
    await let_wait_pass(spine)
    assert await state(api) == "half_open"


async def test_failures_another_service_reports_open_a_breaker_that_was_not_known(api: httpx.AsyncClient) -> None:
    assert (await api.get(WEATHER)).status_code == 404
    assert (await report(api, *[FAILURE] * 4))["state"] == "closed"

    answer = await api.post(f"{WEATHER}/outcomes", json={"outcomes": [FAILURE]})

    BreakerView.model_validate_json(answer.content, strict=True)
    body = answer.json()
    assert (body["state"], body["epoch"], body["failures"]) == ("open", 1, 0)
    assert 55 < int(answer.headers["retry-after"]) <= 66
    assert body["opened_at"] < body["retry_at"]
    assert await state(api) == "open"


async def test_success_of_a_breaker_with_nothing_to_forget_writes_nothing(api: httpx.AsyncClient, spine: Spine) -> None:
    assert (await report(api, SUCCESS))["state"] == "closed"
    assert (await api.get(WEATHER)).json()["state"] == "closed", "its first outcome makes it"
    written = "SELECT xmin::text || ctid::text FROM breaker"
    before = await value(spine, written)
    await report(api, SUCCESS, SUCCESS)
    assert await value(spine, written) == before
    await report(api, FAILURE)
    await report(api, SUCCESS)
    assert (await report(api, *[FAILURE] * 4))["state"] == "closed"


async def test_an_answer_says_how_many_outcomes_counted(api: httpx.AsyncClient, spine: Spine) -> None:
    assert (await report(api, SUCCESS, FAILURE, {"outcome": "ignored"}))["counted"] == 2
    assert (await report(api, SUCCESS | {"epoch": 0}, SUCCESS | {"epoch": 9}))["counted"] == 1
    # The fifth in a row opens it; of an open one nothing counts.
    assert (await report(api, *[FAILURE] * 7))["counted"] == 5
    await let_wait_pass(spine)
    permit = (await api.post(f"{WEATHER}/permits")).json()["permit"]
    assert (await report(api, SUCCESS, SUCCESS | {"permit": permit}, SUCCESS | {"permit": "none"}))["counted"] == 1
    assert (await api.post(f"{WEATHER}/force-open", json=REASON)).status_code == 200
    assert (await report(api, FAILURE, SUCCESS))["counted"] == 0


async def test_however_a_dependency_is_written_it_is_the_same_breaker(api: httpx.AsyncClient) -> None:
    said = REASON | {"new": True}
    assert (await api.post("/v1/breakers/dependency/Pay.Example.org.:443/force-open", json=said)).status_code == 200
    assert await state(api, "/v1/breakers/dependency/pay.example.org") == "forced_open"
    assert (await api.post("/v1/breakers/dependency/PAY.example.org/permits")).json()["granted"] is False
    (line,) = (await api.get("/v1/breakers/dependency/pay.example.org:80/history")).json()["items"]
    assert (line["name"], line["to"]) == ("pay.example.org", "forced_open")
    answer = await api.put("/v1/breakers/dependency/%5B2001:DB8::1%5D:8080", json={})
    assert answer.json()["name"] == "2001:db8::1:8080"


@pytest.mark.parametrize("act", ["force-open", "disable", "force-close", "reset", "outcomes", "permits"])
@pytest.mark.parametrize(("path", "problem"), [("task_type/nope", "not-found"), ("worker/w@nope", "unknown-worker")])
async def test_what_no_breaker_can_guard_is_not_found_and_makes_none(
    api: httpx.AsyncClient, spine: Spine, act: str, path: str, problem: str
) -> None:
    body: dict[str, Any] = {"outcomes": [FAILURE]} if act == "outcomes" else REASON
    answers = [await api.post(f"/v1/breakers/{path}/{act}", json=body)]
    answers += [await api.put(f"/v1/breakers/{path}", json={}), await api.delete(f"/v1/breakers/{path}/policy")]
    for answer in answers:
        assert (answer.status_code, answer.json()["type"]) == (404, f"urn:pointsman:problem:{problem}")
    assert await value(spine, "SELECT count(*) FROM breaker") == 0


async def test_a_mistyped_dependency_is_not_found_and_told_what_is_like_it(
    api: httpx.AsyncClient, spine: Spine, publish_types: Any
) -> None:
    await publish_types(TaskTypeSpec(name="mail.send", time_limit_seconds=9, dependencies=("smtp.example.com",)))
    await report(api, FAILURE)
    for name, meant in (("api.wether.com", "api.weather.com"), ("smtp.exmaple.com", "smtp.example.com")):
        path = f"/v1/breakers/dependency/{name}"
        acts = ("force-open", "disable", "force-close", "reset", "probe")
        answers = [await api.post(f"{path}/{act}", json=REASON) for act in acts]
        for answer in [*answers, await api.delete(f"{path}/policy")]:
            assert (answer.status_code, answer.json()["type"]) == (404, "urn:pointsman:problem:not-found")
            assert f"Did you mean {meant}?" in answer.json()["detail"]
    assert await value(spine, "SELECT count(*) FROM breaker") == 1, "that of the report"
    answer = await api.post("/v1/breakers/task_type/mail.sent/reset", json=REASON)
    assert (answer.status_code, "Did you mean mail.send?" in answer.json()["detail"]) == (404, True)
    # A task type depends on the one, and who forces the other says that nobody has called it.
    assert (await api.post("/v1/breakers/dependency/smtp.example.com/reset", json=REASON)).status_code == 200
    made = await api.post("/v1/breakers/dependency/api.wether.com/disable", json=REASON | {"new": True})
    assert (made.status_code, made.json()["state"]) == (200, "disabled")


async def test_a_policy_without_a_body_is_refused_and_nothing_changes(api: httpx.AsyncClient) -> None:
    await api.put(WEATHER, json={"failure_threshold": 3})
    for content in (b"", b"  "):
        answer = await api.put(WEATHER, content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "")
    assert (await api.get(WEATHER)).json()["policy"]["failure_threshold"] == 3
    assert (await api.put(WEATHER, json={})).json()["policy"]["failure_threshold"] == 5


async def test_one_that_is_forced_open_says_when_calls_pass_again(api: httpx.AsyncClient, spine: Spine) -> None:
    opened = await report(api, *[FAILURE] * 5)
    for seconds in (30, 3600):
        said = REASON | {"expires_in_seconds": seconds}
        answer = await api.post(f"{WEATHER}/force-open", json=said)
        body = answer.json()
        # What stood beneath is open still when the hand lets go.
        assert body["retry_at"] == max(body["override"]["expires_at"], opened["retry_at"])
        until = datetime.fromisoformat(body["retry_at"]).timestamp()
        for one in (answer, await api.get(WEATHER), await api.post(f"{WEATHER}/permits")):
            assert 0 <= int(one.headers["retry-after"]) - (until - time.time()) < 2
            assert one.json()["retry_at"] == body["retry_at"]
    for_ever = await api.post(f"{WEATHER}/force-open", json=REASON)
    for one in (for_ever, await api.post(f"{WEATHER}/permits")):
        assert (one.json()["retry_at"], "retry-after" in one.headers) == (None, False)
    disabled = await api.post(f"{WEATHER}/disable", json=REASON | {"expires_in_seconds": 30})
    assert (disabled.json()["retry_at"], "retry-after" in disabled.headers) == (None, False)


async def test_exception_the_policy_does_not_count_is_nobodys_failure(api: httpx.AsyncClient) -> None:
    policy = {"failure_threshold": 2, "expected_exception": ["ConnectionError"], "ignored_exceptions": ["a.b.Gone"]}
    assert (await api.put(WEATHER, json=policy)).status_code == 200
    await report(api, *[FAILURE | {"error": error} for error in ("ValueError", "a.b.Gone", "ConnectionError")])
    assert await state(api) == "closed"
    await report(api, FAILURE | {"error": "ConnectionError"})
    assert await state(api) == "open"


async def test_outcome_of_an_older_epoch_changes_nothing(api: httpx.AsyncClient) -> None:
    await report(api, *[FAILURE] * 5)
    await api.post(f"{WEATHER}/force-close", json=REASON)
    assert (await report(api, *[FAILURE | {"epoch": 1}] * 9))["failures"] == 0


async def test_permit_is_granted_while_closed_and_refused_while_open(api: httpx.AsyncClient, spine: Spine) -> None:
    free = (await api.post(f"{WEATHER}/permits")).json()
    assert (free["granted"], free["permit"], free["state"], free["epoch"]) == (True, None, "closed", 0)
    await report(api, *[FAILURE] * 5)
    answer = await api.post(f"{WEATHER}/permits")
    assert (answer.status_code, answer.json()["granted"], answer.json()["state"]) == (200, False, "open")
    assert int(answer.headers["retry-after"]) > 50
    assert await value(spine, "SELECT count(*) FROM breaker") == 1


async def test_half_open_leases_as_many_permits_as_its_policy_and_closes_when_they_succeed(
    api: httpx.AsyncClient, spine: Spine
) -> None:
    await half_open(api, spine)
    permits = [(await api.post(f"{WEATHER}/permits")).json() for _ in range(5)]
    assert [permit["granted"] for permit in permits] == [True, True, True, False, False]
    assert (await api.get(WEATHER)).json()["probes"] == 3
    for permit in permits[:3]:
        assert await state(api) == "half_open"
        await report(api, SUCCESS | {"permit": permit["permit"], "epoch": permit["epoch"]})
    assert await state(api) == "closed"


async def test_probe_that_fails_opens_it_again_for_longer(api: httpx.AsyncClient, spine: Spine) -> None:
    await half_open(api, spine)
    permit = (await api.post(f"{WEATHER}/permits")).json()["permit"]
    answer = await api.post(f"{WEATHER}/outcomes", json={"outcomes": [FAILURE | {"permit": permit}]})
    assert (answer.json()["state"], answer.json()["trips"]) == ("open", 2)
    assert int(answer.headers["retry-after"]) > 100


async def test_sweep_writes_that_a_wait_is_over(api: httpx.AsyncClient, spine: Spine) -> None:
    await report(api, *[FAILURE] * 5)
    sweep = BreakerSweep(Registry(spine.store, spine.settings))
    assert await sweep.single_pass() is False
    assert await value(spine, "SELECT seen FROM breaker") == "open"
    await let_wait_pass(spine)
    await sweep.single_pass()
    assert await value(spine, "SELECT seen FROM breaker") == "half_open"
    assert await value(spine, "SELECT turns_at FROM breaker") is None


async def test_history_tells_when_from_what_to_what_why_and_who(api: httpx.AsyncClient, spine: Spine) -> None:
    await half_open(api, spine)
    await api.post(f"{WEATHER}/force-open", json=REASON | {"expires_in_seconds": 60})
    await api.post(f"{WEATHER}/reset", json={"reason": "over"})
    await api.post(f"{WEATHER}/force-close", json={"reason": "mended"})

    lines = (await api.get(f"{WEATHER}/history")).json()["items"]

    told = [(line["from"], line["to"], line["reason"], line["actor"]) for line in reversed(lines)]
    assert told == [
        ("closed", "open", "5 failures in a row", "breaker"),
        ("open", "half_open", "its wait is over", "breaker"),
        ("half_open", "forced_open", "they said so", "local"),
        ("forced_open", "half_open", "over", "local"),
        ("half_open", "closed", "mended", "local"),
    ]
    assert [line["epoch"] for line in reversed(lines)] == [1, 2, 3, 4, 5]
    first = (await api.get(f"{WEATHER}/history", params={"limit": 2})).json()
    rest = (await api.get(f"{WEATHER}/history", params={"cursor": first["next_cursor"]})).json()
    assert first["items"] + rest["items"] == lines
    assert rest["next_cursor"] is None


async def test_override_stands_above_reports_until_it_expires(api: httpx.AsyncClient, spine: Spine) -> None:
    answer = await api.post(f"{WEATHER}/force-open", json=REASON | {"expires_in_seconds": 60, "new": True})
    assert answer.json()["override"]["reason"] == "they said so"
    assert (await report(api, SUCCESS))["state"] == "forced_open"
    assert (await api.post(f"{WEATHER}/permits")).json()["granted"] is False
    await spine.run(
        "UPDATE breaker SET machine = jsonb_set(machine, '{override,expires_at}',"
        " to_jsonb(extract(epoch FROM now())::float8))"
    )
    assert await state(api) == "closed"


async def test_disabled_breaker_lets_everything_through(api: httpx.AsyncClient) -> None:
    await report(api, *[FAILURE] * 5)
    await api.post(f"{WEATHER}/disable", json=REASON)
    assert (await report(api, *[FAILURE] * 9))["state"] == "disabled"
    assert (await api.post(f"{WEATHER}/permits")).json()["granted"] is True


async def test_policy_is_changed_only_by_who_knows_the_last_one(api: httpx.AsyncClient) -> None:
    first = await api.put(WEATHER, json={"failure_threshold": 2})
    etag = first.headers["etag"]
    assert (first.json()["has_own_policy"], first.json()["policy"]["failure_threshold"]) == (True, 2)
    second = await api.put(WEATHER, json={"failure_threshold": 3}, headers={"If-Match": etag})
    assert second.status_code == 200
    stale = await api.put(WEATHER, json={"failure_threshold": 4}, headers={"If-Match": etag})
    assert (stale.status_code, stale.json()["type"]) == (412, "urn:pointsman:problem:policy-changed")
    assert (await api.get(WEATHER)).json()["policy"]["failure_threshold"] == 3
    default = await api.delete(f"{WEATHER}/policy", headers={"If-Match": second.headers["etag"]})
    assert (default.json()["has_own_policy"], default.json()["policy"]["failure_threshold"]) == (False, 5)


async def test_a_policy_is_set_first_only_where_there_is_none(api: httpx.AsyncClient) -> None:
    nobody = {"If-None-Match": "*"}
    first = await api.put(WEATHER, json={"failure_threshold": 2}, headers=nobody)
    assert first.status_code == 200
    second = await api.put(WEATHER, json={"failure_threshold": 3}, headers=nobody)
    assert (second.status_code, second.json()["type"]) == (412, "urn:pointsman:problem:policy-changed")
    same = await api.put(WEATHER, json={"failure_threshold": 4}, headers={"If-None-Match": first.headers["etag"]})
    assert same.status_code == 412
    either = [("If-Match", '"policy-99"'), ("If-Match", f'"other", {first.headers["etag"]}')]
    assert (await api.put(WEATHER, json={"failure_threshold": 5}, headers=either)).status_code == 200
    assert (await api.delete(f"{WEATHER}/policy", headers={"If-Match": '"other"'})).status_code == 412


async def test_a_reader_who_has_it_already_is_told_so_until_something_changes(api: httpx.AsyncClient) -> None:
    await report(api, FAILURE)
    first = await api.get(WEATHER)
    known = {"If-None-Match": f'"other", W/{first.headers["etag"]}'}
    again = await api.get(WEATHER, headers=known)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    await report(api, FAILURE)
    changed = await api.get(WEATHER, headers=known)
    assert (changed.status_code, changed.json()["failures"]) == (200, 2)


@pytest.mark.parametrize(
    ("policy", "pointer"),
    [
        ({"failure_threshold": True}, "/failure_threshold"),
        ({"failure_threshold": "5"}, "/failure_threshold"),
        ({"failure_threshold": 5.5}, "/failure_threshold"),
        ({"recovery_timeout": True}, "/recovery_timeout"),
        ({"recovery_timeout": "60"}, "/recovery_timeout"),
        ({"window_seconds": False}, "/window_seconds"),
        ({"expected_exception": [True]}, "/expected_exception"),
    ],
)
async def test_a_policy_with_a_value_of_another_type_is_refused(
    api: httpx.AsyncClient, policy: dict[str, Any], pointer: str
) -> None:
    answer = await api.put(WEATHER, json=policy)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_list_is_by_scope_and_name_in_pages(api: httpx.AsyncClient, publish_types: Any, add_worker: Any) -> None:
    await publish_types(TaskTypeSpec(name="mail.send", time_limit_seconds=9))
    await add_worker("critical@host", ["critical"])
    for path in ("dependency/b", "dependency/a", "worker/critical@host", "task_type/mail.send"):
        await report(api, FAILURE, path=f"/v1/breakers/{path}")
    first = (await api.get("/v1/breakers", params={"limit": 3})).json()
    assert [(one["scope"], one["name"]) for one in first["items"]] == [
        ("dependency", "a"),
        ("dependency", "b"),
        ("task_type", "mail.send"),
    ]
    rest = (await api.get("/v1/breakers", params={"cursor": first["next_cursor"]})).json()
    assert [one["name"] for one in rest["items"]] == ["critical@host"]
    assert rest["next_cursor"] is None
    found = (await api.get("/v1/breakers", params={"scope": "task_type", "state": "closed"})).json()["items"]
    assert [one["name"] for one in found] == ["mail.send"]


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/outcomes", {"outcomes": []}, "/outcomes"),
        ("/outcomes", {"outcomes": [{"outcome": "maybe"}]}, "/outcomes/0/outcome"),
        ("/outcomes", {"outcomes": [FAILURE | {"colour": "red"}]}, "/outcomes/0/colour"),
        ("/outcomes", {"outcomes": [FAILURE] * 1001}, "/outcomes"),
        ("/force-open", {}, "/reason"),
        ("/force-open", {"reason": ""}, "/reason"),
        ("/disable", REASON | {"expires_in_seconds": 0}, "/expires_in_seconds"),
        ("/reset", REASON | {"expires_in_seconds": 5}, "/expires_in_seconds"),
    ],
)
async def test_body_that_does_not_fit_is_refused_by_field(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], pointer: str
) -> None:
    await report(api, SUCCESS)
    answer = await api.post(WEATHER + path, json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    "policy",
    [
        {"failure_threshold": 0},
        {"failure_rate": 0.5},
        {"colour": "red"},
        [],
        {"expected_exception": "a." + "b" * 199},
        {"ignored_exceptions": ["a.b"] * 101},
    ],
)
async def test_policy_that_makes_no_sense_is_refused(api: httpx.AsyncClient, policy: object) -> None:
    assert (await api.put(WEATHER, json=policy)).status_code == 422


@pytest.mark.parametrize(
    "path", ["/v1/breakers/planet/mars", "/v1/breakers/dependency/a%20b", "/v1/breakers/dependency/%00"]
)
async def test_breaker_that_cannot_be_is_refused(api: httpx.AsyncClient, path: str) -> None:
    assert (await api.get(path)).status_code == 422
    assert (await api.post(f"{path}/outcomes", json={"outcomes": [FAILURE]})).status_code == 422


async def test_task_type_may_be_named_as_it_pleases(api: httpx.AsyncClient, publish_types: Any) -> None:
    await publish_types(*(TaskTypeSpec(name=name, time_limit_seconds=9) for name in ("envoyer le reçu", "zip")))
    path = "/v1/breakers/task_type/envoyer%20le%20re%C3%A7u"
    for one in (path, "/v1/breakers/task_type/zip"):
        assert (await api.post(f"{one}/force-open", json=REASON)).status_code == 200
    assert (await api.get(path)).json()["name"] == "envoyer le reçu"
    first = (await api.get("/v1/breakers", params={"limit": 1})).json()
    assert [one["name"] for one in first["items"]] == ["envoyer le reçu"]
    second = await api.get("/v1/breakers", params={"limit": 1, "cursor": first["next_cursor"]})
    assert [one["name"] for one in second.json()["items"]] == ["zip"]
    assert (await api.post(f"{path}/reset", json=REASON)).json()["state"] == "closed"


async def test_breakers_are_made_up_to_a_limit(app: Any, api: httpx.AsyncClient, spine: Spine) -> None:
    registry = Registry(spine.store, spine.settings.model_copy(update={"breakers_most": 1}))
    app.state.parts.breaker_hand = BreakerHand(registry, spine.store, spine.server, spine.settings)
    await report(api, FAILURE)
    answer = await api.post("/v1/breakers/dependency/other/outcomes", json={"outcomes": [FAILURE]})
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:pointsman:problem:too-many-breakers")
    await report(api, FAILURE)


async def test_breaker_nothing_happened_to_for_a_week_is_forgotten(api: httpx.AsyncClient, spine: Spine) -> None:
    registry = Registry(spine.store, spine.settings)
    await report(api, FAILURE)
    await report(api, SUCCESS)
    await report(api, *[FAILURE] * 5, path="/v1/breakers/dependency/open")
    await api.put("/v1/breakers/dependency/special", json={})
    assert await registry.forget_idle() == 0
    await spine.run("UPDATE breaker SET updated_at = now() - interval '8 days'")
    assert await registry.forget_idle() == 1
    assert (await api.get(WEATHER)).status_code == 404
