"""A day of the demo, told faster than it passes."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import jsonschema_rs
import pytest

from pointsman import celery
from pointsman.shipped import demo as shop
from pointsman.task_type.arguments import Arguments
from pointsman_client import Client
from pointsman_client.errors import NeverSent
from pointsman_client.problems import BacklogFull
from pointsman_contract.configuration import DEMO_URL
from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_service.embedded.demo.bank import Bank
from pointsman_service.embedded.demo.day import DAY_SECONDS, TURNS, Moment, Turn, turns
from pointsman_service.embedded.demo.orders import PRICED, Submission, next_submission, offers, statements
from pointsman_service.embedded.demo.traffic import Traffic, wait_after, wait_for_workers
from tests.peers.http import HTTPPeer, Recorded, Reply

FIVE_MINUTES = 300.0
_BREAKS = (Turn.BANK_FAILS, Turn.PRICES_GO_MISSING)
_ACCEPTED = Reply.of({"id": "7"}, 202)


def a_day() -> list[Submission]:
    rng = random.Random(7)
    mixed = [next_submission(rng, prices_missing=place % 2 == 0) for place in range(2000)]
    return [*mixed, *offers(rng), *statements(rng)]


def test_whoever_looks_for_five_minutes_sees_each_thing_that_goes_wrong_mended_and_an_error_back_again() -> None:
    seen = list(turns(Moment(0), Moment(FIVE_MINUTES)))
    assert {*_BREAKS, Turn.BANK_IS_BACK, Turn.PRICES_ARE_BACK, Turn.OFFERS_GO_OUT} <= set(seen)
    errors = [turn for turn in seen if turn in (Turn.PRICES_GO_MISSING, Turn.ERROR_IS_RESOLVED)]
    assert errors == [Turn.PRICES_GO_MISSING, Turn.ERROR_IS_RESOLVED, Turn.PRICES_GO_MISSING]


def test_bank_fails_for_two_minutes_of_a_day() -> None:
    hours = {turn: hour for hour, turn in TURNS}
    assert (hours[Turn.BANK_IS_BACK] - hours[Turn.BANK_FAILS]) / 24 * DAY_SECONDS == 120


def test_turns_come_once_and_in_order_however_often_somebody_looks() -> None:
    whole = list(turns(Moment(0), Moment(DAY_SECONDS)))
    assert Counter(whole) == Counter(turn for _, turn in TURNS)
    steps = [Moment(place * 7.3) for place in range(int(DAY_SECONDS / 7.3) + 1)] + [Moment(DAY_SECONDS)]
    assert [turn for before, now in pairwise(steps) for turn in turns(before, now)] == whole


def test_a_machine_that_slept_for_days_wakes_to_the_turns_of_one() -> None:
    assert len(list(turns(Moment(0), Moment(DAY_SECONDS * 30)))) == len(TURNS)


def test_nights_are_quiet_and_no_hour_is_without_traffic() -> None:
    busy = {round(Moment(second).hour): Moment(second).busy for second in range(0, int(DAY_SECONDS), 3)}
    assert busy[3] < 0.3 < 0.9 < busy[16]
    assert min(busy.values()) > 0
    assert max(busy.values()) <= 1


def test_all_queues_several_callers_and_tenants_have_part_in_it() -> None:
    made = a_day()
    kinds = {one["task_type"] for one in made}
    assert len(kinds) >= 8
    assert {getattr(celery.tasks[name], "queue", None) for name in kinds} == {
        queue.name for queue in DEFAULT_TOPOLOGY.queues
    }
    assert len({one["tags"]["from"] for one in made}) >= 4
    assert len({one["tags"]["tenant"] for one in made}) >= 4
    assert {one["tags"]["source"] for one in made} == {"demo"}
    assert any("delay_seconds" in one for one in made)


def test_every_submission_is_one_that_the_service_takes() -> None:
    made = {one["task_type"]: one for one in a_day()}
    checks = {name: jsonschema_rs.validator_for(Arguments.of(celery.tasks[name]).schema) for name in made}
    assert [one for one in a_day() if list(checks[one["task_type"]].iter_errors(one["kwargs"]))] == []


def test_orders_without_prices_come_from_one_partner_and_fail() -> None:
    bad = [one for one in a_day() if one["tags"]["from"] == "partner"]
    assert 20 < len(bad) < 400
    assert {one["task_type"] for one in bad} == {PRICED}
    with pytest.raises(KeyError, match="price_cents"):
        shop.confirm_order(**bad[0]["kwargs"])


def test_every_task_of_the_shop_is_submitted() -> None:
    offered = {name for name, task in celery.tasks.items() if task.__module__ == shop.__name__}
    assert offered == {one["task_type"] for one in a_day()}


@pytest.fixture
def bank() -> Iterator[Bank]:
    with Bank() as open_for_business:
        yield open_for_business


def test_bank_takes_a_charge_and_serves_nobody_while_it_fails(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEMO_URL, bank.url)
    assert shop.charge(order=7, price_cents=100) == {"receipt": "B-000001"}
    bank.fails = True
    with pytest.raises(shop.BankUnavailable, match="503 Service Unavailable: no database connection is left"):
        shop.charge(order=7, price_cents=100)
    bank.fails = False
    assert shop.charge(order=8, price_cents=100) == {"receipt": "B-000002"}


def test_charge_fails_for_good_where_nobody_plays_the_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEMO_URL, raising=False)
    with pytest.raises(shop.NoBank, match="POINTSMAN_DEMO_URL is not set"):
        shop.charge(order=7, price_cents=100)


def test_a_day_is_submitted_and_its_error_resolved_as_somebody_would(bank: Bank) -> None:
    said: list[str] = []
    failing: list[tuple[float, bool]] = []
    with HTTPPeer() as api, Client(api.url, retries=0) as client:
        api.on("/v1/tasks", _ACCEPTED)
        api.on("/v1/tasks/batch", _taken)
        api.on("/v1/errors", Reply.of({"items": [{"id": "e1"}]}))
        api.on("/v1/errors/e1/resolve", Reply.of({}))
        traffic = Traffic(client, bank, 5.0, random.Random(7), said.append)
        seconds = 0.0
        while seconds < FIVE_MINUTES:
            seconds += traffic.single_pass(seconds)
            failing.append((Moment(seconds).hour, bank.fails))
        asked = api.requests
    single = [one.json() for one in asked if one.path == "/v1/tasks"]
    assert 600 < len(single) < 1500
    assert all(one["expires_at"] and one["tags"]["source"] == "demo" for one in single)
    (batch, later) = [one.json()["tasks"] for one in asked if one.path == "/v1/tasks/batch"]
    assert {one["task_type"] for one in batch} == {"shop.send_offer"}
    assert {one["task_type"] for one in later} == {"shop.write_statement"}
    (resolved,) = [one for one in asked if one.path.endswith("/resolve")]
    assert resolved.json() == {"reason": "the partner sends prices again", "who": "ada"}
    assert _query(asked, "/v1/errors") == {"task_type": [PRICED], "state": ["open"]}
    assert all(fails for hour, fails in failing if 10.1 < hour < 13.9)
    assert not any(fails for hour, fails in failing if hour < 9.9 or hour > 14.1)
    assert "the bank fails" in said
    assert traffic.take_summary() == f"{len(single) + len(batch) + len(later)} x stored"


def test_a_key_that_opens_nothing_is_told_and_not_taken_for_a_worker_that_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pointsman_service.embedded.demo.traffic.time.sleep", lambda _: None)
    said: list[str] = []
    revoked = Reply.of({"type": "urn:pointsman:problem:key-revoked", "detail": "The key was revoked."}, 401)
    with HTTPPeer() as api, Client(api.url, key="pm_any", retries=0) as client:
        api.on(f"/v1/task-types/{PRICED}", *[revoked] * 6, Reply.of({"name": PRICED}))
        wait_for_workers(client, random.Random(7), said.append, "how")
    assert len(said) == 1
    assert said[0].startswith("the API does not let the demo in: The key was revoked.")


def test_a_service_that_refuses_slows_it_down_and_is_told_once(bank: Bank) -> None:
    said: list[str] = []
    with HTTPPeer() as api, Client(api.url, retries=0) as client:
        full = Reply.of(
            {"type": "urn:pointsman:problem:backlog-full", "detail": "the backlog is full"}, 503, **{"Retry-After": "3"}
        )
        api.on("/v1/tasks", full, full, _ACCEPTED)
        traffic = Traffic(client, bank, 1000.0, random.Random(7), said.append)
        assert [3 <= traffic.single_pass(0) <= 4 for _ in range(2)] == [True, True]
        assert traffic.single_pass(0) < 1
    assert said == ["refused: BacklogFull: the backlog is full"]


def test_a_service_that_is_away_slows_it_down_and_is_told_once(bank: Bank) -> None:
    said: list[str] = []
    with Client("http://127.0.0.1:9", retries=0) as client:
        traffic = Traffic(client, bank, 1000.0, random.Random(7), said.append)
        pauses = [traffic.single_pass(0) for _ in range(5)]
    assert 0.4 < pauses[0] < pauses[-1] <= 15
    assert said == ["refused: NeverSent: connection refused"]


def test_demo_waits_as_asked_and_never_long() -> None:
    rng = random.Random(7)
    asked, long = (BacklogFull("full", status=503, retry_after_seconds=seconds) for seconds in (3.0, 9999.0))
    assert 3 <= wait_after(asked, 1, rng) <= 4
    assert wait_after(long, 1, rng) <= 15
    away = NeverSent("away")
    assert wait_after(away, 1, rng) < wait_after(away, 9, rng) <= 15


def _taken(request: Recorded) -> Reply:
    results = [{"status": 202, "task": {"id": str(place)}} for place, _ in enumerate(request.json()["tasks"])]
    return Reply.of({"results": results}, 202)


def _query(asked: list[Recorded], path: str) -> dict[str, list[str]]:
    return next(one.query for one in asked if one.path == path)
