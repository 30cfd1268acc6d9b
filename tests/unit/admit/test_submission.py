import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointsman_service.admit.carrying import uncarried
from pointsman_service.admit.keys import KEY_PATTERN, key_of
from pointsman_service.admit.submission import BatchItem, Submission, parse_submission, too_late
from pointsman_service.api.requests.headers import read_headers
from pointsman_service.errors import BadRequest, InvalidRequest


def refused(**body: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as raised:
        parse_submission({"task_type": "noop"} | body, Submission)
    return {error["pointer"]: error["detail"] for error in raised.value.errors}


def refused_item(**body: Any) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as raised:
        parse_submission({"task_type": "noop"} | body, BatchItem)
    return {error["pointer"]: error["detail"] for error in raised.value.errors}


def test_a_task_type_alone_is_enough() -> None:
    submission = parse_submission({"task_type": "noop"}, Submission)
    assert (submission.args, submission.kwargs, submission.priority) == ([], {}, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", 11),
        ("priority", -1),
        ("priority", "8"),
        ("priority", True),
        ("args", {}),
        ("kwargs", []),
        ("delay_seconds", -1),
        ("delay_seconds", 1e12),
        ("timeout_seconds", 0),
        ("timeout_seconds", 86_401),
        ("scheduled_at", "tomorrow"),
        ("scheduled_at", 1_700_000_000),
        ("scheduled_at", "2030-01-01T00:00:00"),
        ("scheduled_at", "9999-01-01T00:00:00Z"),
        ("scheduled_at", "0001-01-01T00:00:00+14:00"),
        ("expires_at", "1969-12-31T00:00:00Z"),
        ("expires_at", "9000-01-01T00:00:00Z"),
        ("scheduled_at", "9000-01-01T00:00:00Z"),
        ("scheduled_at", "1969-12-31T23:00:00-05:00"),
        ("timeout_seconds", 1e-300),
        ("tags", {"a": 1}),
        ("tags", {str(n): "" for n in range(21)}),
        ("queue", 5),
        ("fairness_key", ""),
        ("fairness_key", "a" * 65),
        ("fairness_key", "tenant 7"),
        ("fairness_key", "caf\u00e9"),
        ("fairness_key", "a\n"),
    ],
)
def test_a_bad_value_is_named_by_its_pointer(field: str, value: Any) -> None:
    (pointer,) = refused(**{field: value})
    assert pointer.split("/")[1] == field


@pytest.mark.parametrize("field", ["idempotency_key", "prioritiy"])
def test_a_field_that_is_not_built_is_refused_and_not_ignored(field: str) -> None:
    assert refused(**{field: None}) == {f"/{field}": "this field does not exist"}


def test_every_field_at_fault_is_named_at_once() -> None:
    assert refused(priority=99, kwargs=None).keys() == {"/priority", "/kwargs"}


def test_a_moment_in_another_zone_is_the_same_moment() -> None:
    submission = parse_submission({"task_type": "noop", "scheduled_at": "2030-01-01T02:00:00+02:00"}, Submission)
    assert submission.scheduled_at == datetime(2030, 1, 1, tzinfo=UTC)


def test_an_integer_may_be_written_with_a_fraction_of_zero() -> None:
    submission = parse_submission({"task_type": "noop", "priority": 8.0, "max_attempts": 2.0}, Submission)
    assert (submission.priority, submission.max_attempts) == (8, 2)
    assert type(submission.priority) is int
    assert refused(priority=8.5, max_attempts=0.0).keys() == {"/priority", "/max_attempts"}


def test_a_delay_and_a_moment_exclude_each_other() -> None:
    assert refused(delay_seconds=1, scheduled_at="2030-01-01T00:00:00Z").keys() == {"/delay_seconds"}


def test_an_expiry_before_the_task_is_due_is_refused() -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert refused(expires_at=soon, scheduled_at="2030-01-01T00:00:00Z").keys() == {"/expires_at"}


@pytest.mark.parametrize(
    ("hours", "delay_seconds", "fault"),
    [(1, 36_000, "must be after the task is due"), (1, 3_599, None), (0, 0, "lies in the past"), (1, None, None)],
)
def test_an_expiry_is_too_late_by_the_clock_and_the_delay(hours: int, delay_seconds: float, fault: str | None) -> None:
    """The body stays as good as it was when it was first sent."""
    now = datetime(2026, 11, 28, tzinfo=UTC)
    expires_at = (now + timedelta(hours=hours)).isoformat()
    body = {"task_type": "noop", "expires_at": expires_at, "delay_seconds": delay_seconds}
    found = too_late(parse_submission(body, Submission), now)
    assert (found and found["detail"]) == fault


@pytest.mark.parametrize(
    ("written", "key"),
    [
        *((written, "order-17") for written in ("order-17", '"order-17"', " order-17 ", '  "order-17" ')),
        *(
            ("käse-1", "käse-1"),
            ("日本", "日本"),
            ('"a b"', "a b"),
            ('" a "', " a "),
            ('"a', '"a'),
            ("x" * 255, "x" * 255),
        ),
        *(('""a""', '"a"'), ("\u00e9\u0301 \U0001f980", "\u00e9\u0301 \U0001f980")),
    ],
)
def test_a_key_means_the_same_in_a_header_and_in_an_item(written: str, key: str) -> None:
    item = parse_submission({"task_type": "noop", "idempotency_key": written}, BatchItem)
    assert isinstance(item, BatchItem)
    header, _ = read_headers({"headers": [(b"idempotency-key", written.encode())]})
    assert item.idempotency_key == header == key


@pytest.mark.parametrize("key", ["", "a\x00b", "x" * 256, " ", '""', '" "', "a\tb", "a\x85", "\x7f"])
def test_what_is_no_key_is_refused_in_a_header_as_in_an_item(key: str) -> None:
    with pytest.raises(BadRequest):
        read_headers({"headers": [(b"idempotency-key", key.encode())]})
    assert refused_item(idempotency_key=key).keys() == {"/idempotency_key"}


def test_a_key_is_taken_just_when_it_fits_the_published_pattern() -> None:
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    published = re.compile(KEY_PATTERN)
    taken = 0
    for _ in range(3000):
        inner = "".join(chance.choices('a" \x85', (5, 2, 2, 0.1), k=chance.randrange(4)))
        inner += "a" * chance.choice((0, 251, 252, 253, 254, 255, 256))
        written = "".join(chance.choice(("", *around)) for around in (" ", '"', (inner,), '"', " "))
        try:
            key_of(written)
            fits = True
        except ValueError:
            fits = False
        taken += fits
        assert (published.fullmatch(written) is not None) == fits, f"seed {seed}: {written!r}"
    assert 300 < taken < 2700, f"seed {seed}"


def test_a_year_counts_as_it_is_written() -> None:
    submission = parse_submission({"task_type": "noop", "scheduled_at": "1970-01-01T00:00:00+05:00"}, Submission)
    assert submission.scheduled_at == datetime(1969, 12, 31, 19, tzinfo=UTC)


@pytest.mark.parametrize("headers", [[b"caf\xe9"], [b"a", b"a"], [b"a", b"b"]])
def test_a_key_in_another_encoding_and_a_second_key_are_refused(headers: list[bytes]) -> None:
    with pytest.raises(BadRequest):
        read_headers({"headers": [(b"idempotency-key", value) for value in headers]})


@pytest.mark.parametrize("key", ["", "a\x00b", "x" * 256])
def test_a_bad_key_of_a_batch_item_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_submission({"task_type": "noop", "idempotency_key": key}, BatchItem)


def test_what_postgres_cannot_carry_is_found_wherever_it_stands() -> None:
    value = {"a": ["ok", "x\x00y"], "b/c": float("inf"), "d\x00": 1, "e": {"f": float("nan")}}
    assert [error["pointer"] for error in uncarried(value)] == ["/a/1", "/b~1c", "", "/e/f"]


def test_no_more_than_twenty_faults_are_looked_for() -> None:
    def values() -> Iterator[float]:
        yield from [float("nan")] * 20
        pytest.fail("went on after the twentieth fault")

    class Lazy(list[float]):
        def __iter__(self) -> Iterator[float]:
            return values()

    assert [error["pointer"] for error in uncarried(Lazy())] == [f"/{place}" for place in range(20)]


def test_a_pointer_through_a_long_key_is_cut_and_says_so() -> None:
    (error,) = uncarried({"k" * 100_000: [1, float("nan")]})
    assert error["pointer"] == "/" + "k" * 498 + "…"


def test_a_body_of_very_many_unknown_fields_names_the_first_twenty() -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_submission({"task_type": "noop", **{f"f{number}": 1 for number in range(100_000)}}, Submission)
    assert [error["pointer"] for error in raised.value.errors] == [f"/f{place}" for place in range(20)]


def test_very_many_tags_are_one_fault() -> None:
    assert refused(tags={f"t{number}": number for number in range(100_000)}).keys() == {"/tags"}
