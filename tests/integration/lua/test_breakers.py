"""What the gate and the reports do with circuit breakers."""

from collections.abc import Mapping
from uuid import uuid4

import pytest

from pointsman_contract import keys
from pointsman_contract.breaker_entry import (
    BLOCKS,
    DEFAULT_FIELD,
    PASSES,
    PROBES,
    body_of,
    encode,
    epoch_of,
    lets_pass,
    provisional_of,
    run_body,
)
from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.breaker_run import Run

from .conftest import EPOCH, Scripts

TYPE, SMTP = "task_type:letter", "dependency:smtp"
POLICY = BreakerPolicy(failure_threshold=3, ignored_exceptions=("KeyError",))


def entry(mark: str, epoch: int, state: str, permits: Mapping[str, float] | None = None) -> str:
    return encode(mark, epoch, body_of(POLICY, state, None, permits or {}, 0))


@pytest.fixture(autouse=True)
async def default_policy(scripts: Scripts) -> None:
    await put(scripts, DEFAULT_FIELD, entry(PASSES, 0, "closed"))


async def put(scripts: Scripts, field: str, value: str) -> None:
    await scripts.server.command("HSET", keys.BREAKERS, field, value)


async def stored(scripts: Scripts, field: str) -> str | None:
    found = await scripts.server.command("HGET", keys.BREAKERS, field)
    return None if found is None else found.decode()


async def failures(scripts: Scripts, breaker: str) -> int:
    return int(await scripts.server.command("HGET", keys.BREAKER_FAILURES, breaker) or 0)


async def fail(scripts: Scripts, breaker: str, epoch: int | str = 0, names: str = "OSError\nException") -> bytes:
    task = str(uuid4())
    await scripts.gate(task, token="t")
    answer = await scripts.report(task, 1, "t", "failed", ("failure", names, breaker, epoch))
    return bytes(answer[2])


async def succeed(scripts: Scripts, *breakers: str) -> None:
    task = str(uuid4())
    await scripts.gate(task, token="t")
    await scripts.report(task, 1, "t", "succeeded", ("success", *breakers))


async def test_closed_breakers_let_a_task_run_and_say_their_epochs(scripts: Scripts, task: str) -> None:
    await put(scripts, SMTP, entry(PASSES, 6, "closed"))
    answer = await scripts.gate(task, token="t", breakers=(TYPE, SMTP))
    assert (answer[0], answer[4]) == (b"run", b"0,6")
    assert (await scripts.gate(task, token="t", breakers=(TYPE, SMTP))) == answer, "asked again"


async def test_breakers_that_nothing_ever_happened_to_have_no_epoch_to_say(scripts: Scripts, task: str) -> None:
    assert (await scripts.gate(task, breakers=(TYPE, SMTP)))[4] == b""


@pytest.mark.parametrize("state", ["open", "forced_open"])
async def test_an_open_breaker_holds_and_nothing_is_claimed(scripts: Scripts, task: str, state: str) -> None:
    await put(scripts, SMTP, entry(BLOCKS, 1, state))
    assert await scripts.gate(task, after=2, breakers=(TYPE, SMTP)) == [b"held"]
    (event,) = await scripts.events()
    assert (event["kind"], event["attempt"], event["breaker"]) == ("held", "2", SMTP)
    assert await scripts.claim(task) == {}


async def test_a_half_open_breaker_lets_only_the_task_with_a_permit_pass(scripts: Scripts, task: str) -> None:
    await put(scripts, TYPE, entry(PROBES, 2, "half_open", {task: 1e12}))
    assert await scripts.gate(str(uuid4()), breakers=(TYPE,)) == [b"held"]
    assert (await scripts.gate(task, breakers=(TYPE,)))[4] == b"2"


async def test_an_expired_task_expires_though_its_breaker_is_open(scripts: Scripts, task: str) -> None:
    await put(scripts, TYPE, entry(BLOCKS, 1, "open"))
    assert await scripts.gate(task, expires_at=await scripts.now() - 1, breakers=(TYPE,)) == [b"expired"]


async def test_an_attempt_that_was_claimed_before_is_not_held(scripts: Scripts, task: str) -> None:
    await scripts.gate(task, token="t", breakers=(TYPE,))
    await put(scripts, TYPE, entry(BLOCKS, 1, "open"))
    assert (await scripts.gate(task, token="t", breakers=(TYPE,)))[0] == b"run"
    assert await scripts.gate(task, breakers=(TYPE,)) == [b"duplicate"]


async def test_failures_in_a_row_open_the_breaker_in_the_call_that_reports_the_last(scripts: Scripts) -> None:
    for _ in range(2):
        await fail(scripts, SMTP)
    assert await stored(scripts, SMTP) is None
    stream_id = await fail(scripts, SMTP)
    opened = await stored(scripts, SMTP)
    assert opened is not None
    assert opened.startswith(BLOCKS)
    assert epoch_of(opened) == 1
    assert provisional_of(opened) == (EPOCH, stream_id.decode())
    assert not lets_pass(opened, "")
    assert await failures(scripts, SMTP) == 0
    assert await scripts.gate(str(uuid4()), breakers=(TYPE, SMTP)) == [b"held"]


async def test_without_a_threshold_no_failures_in_a_row_open_it(scripts: Scripts) -> None:
    rates = BreakerPolicy(failure_threshold=None, window_seconds=60, failure_rate=0.5)
    closed = encode(PASSES, 0, body_of(rates, "closed", None, {}, 0))
    await put(scripts, SMTP, closed)
    for _ in range(6):
        await fail(scripts, SMTP)
    assert await stored(scripts, SMTP) == closed


async def test_a_success_forgets_the_failures_before_it(scripts: Scripts) -> None:
    for _ in range(2):
        await fail(scripts, SMTP)
    await succeed(scripts, TYPE, SMTP)
    for _ in range(2):
        await fail(scripts, SMTP)
    assert await stored(scripts, SMTP) is None


async def test_a_failure_counts_only_where_it_is_blamed(scripts: Scripts) -> None:
    await fail(scripts, SMTP)
    assert (await failures(scripts, SMTP), await failures(scripts, TYPE)) == (1, 0)


@pytest.mark.parametrize("epoch", [3, ""], ids=["of now", "not known"])
async def test_a_failure_of_this_epoch_counts(scripts: Scripts, epoch: int | str) -> None:
    await put(scripts, SMTP, entry(PASSES, 3, "closed"))
    await fail(scripts, SMTP, epoch)
    assert await failures(scripts, SMTP) == 1


async def test_a_failure_of_an_older_epoch_changes_nothing(scripts: Scripts) -> None:
    await put(scripts, SMTP, entry(PASSES, 3, "closed"))
    await fail(scripts, SMTP, 2)
    assert await failures(scripts, SMTP) == 0


@pytest.mark.parametrize(("names", "counted"), [("KeyError\nException", 0), ("OSError\nException", 1)])
async def test_ignored_exceptions_do_not_count(scripts: Scripts, names: str, counted: int) -> None:
    await fail(scripts, SMTP, names=names)
    assert await failures(scripts, SMTP) == counted


@pytest.mark.parametrize(("names", "counted"), [("x.Refused\nOSError\nException", 1), ("ValueError\nException", 0)])
async def test_only_expected_exceptions_count_and_what_derives_from_them(
    scripts: Scripts, names: str, counted: int
) -> None:
    policy = BreakerPolicy(expected_exception=("OSError",))
    await put(scripts, SMTP, encode(PASSES, 1, body_of(policy, "closed", None, {}, 0)))
    await fail(scripts, SMTP, 1, names)
    assert await failures(scripts, SMTP) == counted


async def test_a_disabled_breaker_counts_nothing(scripts: Scripts) -> None:
    await put(scripts, SMTP, entry(PASSES, 1, "disabled"))
    for _ in range(4):
        await fail(scripts, SMTP, 1)
    assert (await failures(scripts, SMTP), (await stored(scripts, SMTP) or "")[:2]) == (0, "-1")


async def test_one_probe_that_fails_opens_the_breaker_again(scripts: Scripts, task: str) -> None:
    await put(scripts, SMTP, entry(PROBES, 4, "half_open", {task: 1e12}))
    await fail(scripts, SMTP, 4)
    assert (await stored(scripts, SMTP) or "")[:2] == "?4", "that was no probe"
    await scripts.gate(task, token="t", breakers=(SMTP,))
    await scripts.report(task, 1, "t", "failed", ("failure", "OSError\nException", SMTP, 4))
    assert (await stored(scripts, SMTP) or "")[:2] == "!5"


async def test_a_late_outcome_counts_nowhere(scripts: Scripts, task: str) -> None:
    await scripts.gate(task, token="t")
    await scripts.server.command("HSET", keys.claim(task), "token", "other")
    await scripts.report(task, 1, "t", "failed", ("failure", "OSError\nException", SMTP, 0))
    assert await failures(scripts, SMTP) == 0


async def test_without_a_policy_nothing_is_counted(scripts: Scripts) -> None:
    await scripts.server.command("DEL", keys.BREAKERS)
    for _ in range(4):
        await fail(scripts, SMTP)
    assert await failures(scripts, SMTP) == 0


async def test_an_entry_is_replaced_only_while_it_is_what_was_seen(scripts: Scripts) -> None:
    old, new = entry(PASSES, 3, "closed"), entry(BLOCKS, 4, "open")
    await put(scripts, SMTP, old)
    await scripts.server.command("HSET", keys.BREAKER_FAILURES, SMTP, 2)
    names = [keys.BREAKERS, keys.BREAKER_FAILURES]
    assert await scripts.server.script("breakers", names, [], [SMTP, "", new, 1]) == 0
    assert (await stored(scripts, SMTP), await failures(scripts, SMTP)) == (old, 2)
    assert await scripts.server.script("breakers", names, [], [SMTP, old, new, 1]) == 1
    assert (await stored(scripts, SMTP), await failures(scripts, SMTP)) == (new, 0)
    assert await scripts.server.script("breakers", names, [], [SMTP, new, "", 0]) == 1
    assert await stored(scripts, SMTP) is None


RUN = run_body(Run(many=5, few=3, seconds=3.0, age=600.0))


async def put_type(scripts: Scripts, mark: str = PASSES, epoch: int = 0, state: str = "closed") -> None:
    body = body_of(POLICY, state, None, {}, 0)
    body["run"] = RUN
    await put(scripts, TYPE, encode(mark, epoch, body))


async def is_open(scripts: Scripts) -> bool:
    return (await stored(scripts, TYPE) or "").startswith(BLOCKS)


async def test_a_run_of_tasks_opens_the_breaker_of_their_type(scripts: Scripts) -> None:
    await put_type(scripts)
    for _ in range(4):
        await fail(scripts, TYPE)
    assert not await is_open(scripts)
    failed = await fail(scripts, TYPE)
    entry = await stored(scripts, TYPE)
    assert entry is not None
    assert entry.startswith(f"{BLOCKS}1|")
    assert provisional_of(entry) == (EPOCH, failed.decode())
    assert await scripts.server.command("HGET", keys.BREAKER_FAILURES, TYPE) is None


@pytest.mark.parametrize(
    ("failures", "began", "last", "opens"),
    [(2, 4.0, 1.0, True), (2, 1.0, 1.0, False), (1, 4.0, 1.0, False), (4, 1900.0, 1860.0, False)],
    ids=["long enough", "too short", "too few", "forgotten"],
)
async def test_fewer_open_it_when_the_run_lasts(
    scripts: Scripts, failures: int, began: float, last: float, opens: bool
) -> None:
    await put_type(scripts)
    seconds, _ = await scripts.server.command("TIME")
    kept = f"{failures} {int(seconds) - began:.6f} {int(seconds) - last:.6f}"
    await scripts.server.command("HSET", keys.BREAKER_FAILURES, TYPE, kept)
    await fail(scripts, TYPE)
    assert await is_open(scripts) is opens


@pytest.mark.parametrize("kept", ["4", "x", "", "4 a b", "99999999999999999999999999 1 1", "4 nan nan"])
async def test_a_count_of_the_release_before_and_what_is_none_begins_anew(scripts: Scripts, kept: str) -> None:
    await put_type(scripts)
    await scripts.server.command("HSET", keys.BREAKER_FAILURES, TYPE, kept)
    await fail(scripts, TYPE)
    assert not await is_open(scripts)
    for _ in range(4):
        await fail(scripts, TYPE)
    assert await is_open(scripts)


async def test_a_type_is_judged_as_before_where_a_control_plane_of_the_release_before_says_no_run(
    scripts: Scripts,
) -> None:
    for _ in range(3):
        await fail(scripts, TYPE)
    assert await is_open(scripts)


async def test_the_default_policy_brings_the_run_of_types_that_have_no_entry(scripts: Scripts) -> None:
    default = body_of(POLICY, "closed", None, {}, 0)
    default["run"] = RUN
    await put(scripts, DEFAULT_FIELD, encode(PASSES, 0, default))
    for _ in range(4):
        await fail(scripts, TYPE)
    assert await stored(scripts, TYPE) is None
    await fail(scripts, TYPE)
    assert await is_open(scripts)
    for _ in range(3):
        await fail(scripts, SMTP)
    assert (await stored(scripts, SMTP) or "").startswith(BLOCKS), "a dependency has no run"
