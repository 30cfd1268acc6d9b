"""Callers, and the fairness keys of a caller, take turns in a queue."""

import itertools
import json
import re
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import TextClause, text

from pointsman_contract.queues import list_key
from pointsman_service.callers import CONSOLE
from pointsman_service.dispatch.dispatcher import Dispatcher
from pointsman_service.dispatch.window import OpenWindow
from pointsman_service.operate.handle_keys import KeyHand, WantedKey
from pointsman_service.reconcile.lists import Lists
from pointsman_service.settings import Settings
from pointsman_service.store.queues import dispatching, of_callers, shares
from pointsman_service.store.queues.shares import MOST_CALLERS, MOST_KEYS, Share
from pointsman_service.store.tasks import submitting
from pointsman_service.submit.group_commit import GroupCommit
from tests.integration.spine import Spine, new_task

MAINTENANCE = list_key("maintenance", 7)


@pytest.fixture
def small(settings: Settings) -> Settings:
    return settings.model_copy(update={"window_initial": 30, "window_max": 30})


async def submit(spine: Spine, tasks: int, caller: str, key: str = "", **more: Any) -> list[str]:
    """Tasks that wait."""
    made = [new_task(caller=caller, fairness_key=key, **more) for _ in range(tasks)]
    spine.window.shut()
    await spine.commits.write_batch(made)
    return [task.id for task in made]


async def backlog(spine: Spine, tasks: int, caller: str, key: str = "''", priority: int = 3) -> None:
    """Many tasks that wait, made in the database; ``caller`` and ``key`` are SQL of ``n``."""
    await spine.run(
        "INSERT INTO task_live (id, state, place, task_type, queue, priority, sla_seconds, timeout_seconds, due_at,"
        " caller, fairness_key, args, kwargs) SELECT uuidv7(), 'queued', 'waiting', 'noop', 'maintenance', :priority,"
        f" 300, 300, now() - interval '1 hour', {caller}, {key}, '[]', '{{}}' FROM generate_series(1, :tasks) AS n (n)",
        priority=priority, tasks=tasks,
    )  # fmt: skip


def dispatcher_of(spine: Spine, settings: Settings) -> Dispatcher:
    spine.dispatcher = Dispatcher(spine.store, spine.broker, spine.publisher, settings)
    return spine.dispatcher


async def on_broker(spine: Spine, key: str = MAINTENANCE) -> list[str]:
    """Ids of the messages of a list, the next one first."""
    found = await spine.server.command("LRANGE", key, 0, -1)
    return [json.loads(message)["headers"]["id"] for message in reversed(found)]


async def callers_of(spine: Spine, ids: Sequence[str]) -> list[str]:
    rows = await spine.rows("SELECT id, caller, fairness_key FROM task_live")
    names = {str(row["id"]): row["caller"] + row["fairness_key"] for row in rows}
    return [names[one] for one in ids]


async def sent_in_passes(spine: Spine, dispatcher: Dispatcher, passes: int) -> list[str]:
    """What so many passes send, each of which looks who waits; all of it is fetched after each."""
    sent: list[str] = []
    for _ in range(passes):
        dispatcher._turn_taking._look_at = 0.0
        await dispatcher.single_pass()
        sent += await on_broker(spine)
        await spine.server.command("DEL", MAINTENANCE)
    return sent


async def alone_of(spine: Spine) -> dict[tuple[str, str], int]:
    """How many of each share wait alone."""
    rows = await spine.rows(
        "SELECT caller, fairness_key, count(*)::int AS n FROM task_live WHERE alone AND place = 'waiting' GROUP BY 1, 2"
    )
    return {(row["caller"], row["fairness_key"]): row["n"] for row in rows}


async def test_ten_tasks_go_before_a_thousand_of_another_caller_that_are_on_the_broker_and_wait(
    closed_spine: Spine, small: Settings
) -> None:
    await backlog(closed_spine, 1000, "'many'")
    dispatcher = dispatcher_of(closed_spine, small)
    await closed_spine.open_epoch()
    await dispatcher.single_pass()
    before = await on_broker(closed_spine)
    assert len(before) == 30
    ten = await submit(closed_spine, 10, "few")
    dispatcher._turn_taking._look_at = 0.0
    await dispatcher.single_pass()
    assert await on_broker(closed_spine) == ten + before, "the window is full: they are put before it"
    outbox = await closed_spine.rows("SELECT id FROM outbox")
    assert outbox == []


@pytest.mark.parametrize("few", ["few", "local"])
async def test_ten_tasks_go_before_what_api_processes_sent_of_another_by_themselves(
    closed_spine: Spine, settings: Settings, few: str
) -> None:
    wide = settings.model_copy(update={"window_initial": 1000})
    await closed_spine.open_epoch()
    api = GroupCommit(closed_spine.store, closed_spine.publisher, OpenWindow(closed_spine.broker, wide), wide)
    await api._writer._window.refresh()
    many = [new_task(caller="many") for _ in range(500)]
    await api.write_batch(many)
    await api.drain()
    assert await on_broker(closed_spine) == [task.id for task in many], "nothing of it ever waited"

    # The window has become a small one: slow tasks came after quick ones.
    dispatcher = dispatcher_of(closed_spine, settings)
    await dispatcher.single_pass()
    ten = await submit(closed_spine, 10, few)
    dispatcher._turn_taking._look_at = 0.0
    await dispatcher.single_pass()
    assert (await on_broker(closed_spine))[:10] == ten
    more = await submit(closed_spine, 10, "many")
    dispatcher._turn_taking._look_at = 0.0
    await dispatcher.single_pass()
    assert not set(more) & set(await on_broker(closed_spine)), "who was there before is not early"


async def test_who_waits_behind_its_own_is_alone(closed_spine: Spine, small: Settings) -> None:
    await closed_spine.open_epoch()
    await closed_spine.commits.write_batch([new_task(caller="many") for _ in range(30)])
    await closed_spine.commits.drain()
    dispatcher = dispatcher_of(closed_spine, small)
    await submit(closed_spine, 10, "many")
    await dispatcher.single_pass()
    assert not dispatcher._turn_taking.takes_turns("maintenance")
    assert dispatcher._turn_taking.sole == {"maintenance": ("many", "")}


async def test_some_of_all_messages_are_told_and_none_that_is_no_task(closed_spine: Spine) -> None:
    await closed_spine.open_epoch()
    urgent = [new_task(caller="many", priority=9) for _ in range(5)]
    others = [new_task(caller="many") for _ in range(95)]
    await closed_spine.commits.write_batch([*urgent, *others])
    await closed_spine.commits.drain()
    for step, word in enumerate(("x", "{}", '{"correlation_id": "abc"}', '{"correlation_id":"' + "-" * 36 + '"}')):
        await closed_spine.server.command("LPUSH", list_key("email", step), word)
    await closed_spine.server.command("SET", list_key("email", 9), "x")
    found = await closed_spine.broker.sampled(["maintenance", "email", "reports"])
    assert found["email"] == found["reports"] == []
    ids = [str(one) for one in found["maintenance"]]
    # Lists are filled from the left, the most urgent is first.
    places = [[task.id for task in [*reversed(urgent), *reversed(others)]].index(one) for one in ids]
    assert len(places) == 32
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 99)
    assert max(later - earlier for earlier, later in itertools.pairwise(places)) <= 4
    async with closed_spine.store.statement() as connection:
        assert await shares.of_tasks(connection, found["maintenance"]) == {Share("many", ""): 32}


async def test_what_goes_before_others_tells_nobody_that_these_have_left_their_list(
    closed_spine: Spine, small: Settings
) -> None:
    await backlog(closed_spine, 100, "'many'")
    dispatcher = dispatcher_of(closed_spine, small)
    await closed_spine.open_epoch()
    await dispatcher.single_pass()
    lists = Lists(closed_spine.broker, ["maintenance"])
    async with closed_spine.store.statement() as connection:
        (before,) = [one for one in await lists.left(connection, 0.0) if one.priority == 3]
    await submit(closed_spine, 3, "few")
    dispatcher._turn_taking._look_at = 0.0
    await dispatcher.single_pass()
    async with closed_spine.store.statement() as connection:
        (after,) = [one for one in await lists.left(connection, 0.0) if one.priority == 3]
    assert abs(after.at - before.at) < 0.05


async def test_callers_share_equally_and_keys_within_their_caller(closed_spine: Spine, settings: Settings) -> None:
    await backlog(closed_spine, 1000, "'one'", "'t' || n % 5")
    await backlog(closed_spine, 1000, "'two'")
    dispatcher = dispatcher_of(closed_spine, settings)
    await closed_spine.open_epoch()
    await dispatcher.single_pass()
    sent = Counter(await callers_of(closed_spine, await on_broker(closed_spine)))
    assert sent.total() == settings.window_initial
    assert sent["two"] == settings.window_initial / 2
    assert {sent[f"onet{key}"] for key in range(5)} == {settings.window_initial / 10}


async def test_a_caller_has_as_many_turns_as_its_key_says_or_else_the_setting(
    closed_spine: Spine, settings: Settings
) -> None:
    for name in ("one", "two", "three"):
        await backlog(closed_spine, 1000, f"'{name}'")
    hand = KeyHand(closed_spine.store)
    key = (await hand.create(CONSOLE, WantedKey("three", preset="submitter", weight=6.0), None)).key
    given = settings.model_copy(update={"caller_weights": {"two": 3.0, "three": 0.5}})
    dispatcher = dispatcher_of(closed_spine, given)
    await closed_spine.open_epoch()
    await dispatcher.single_pass()
    tenth = settings.window_initial / 10
    sent = Counter(await callers_of(closed_spine, await on_broker(closed_spine)))
    assert sent == {"one": tenth, "two": 3 * tenth, "three": 6 * tenth}

    await hand.limit(CONSOLE, key.id, None, None, 1.0, None)
    turns, depths = dispatcher._turn_taking, await closed_spine.broker.depths()
    async with closed_spine.store.statement() as connection:
        await turns.look(connection, ["maintenance"], depths, time.monotonic() + 1.5)
    assert turns._weights == {"two": 3.0, "three": 1.0}
    # What is no weight counts as none, also where the database would take it: the others go on.
    await closed_spine.run("ALTER TABLE api_key DROP CONSTRAINT ck_api_key_weight")
    for number, none in enumerate(("'Infinity'", "'NaN'", "0", "-1"), 2):
        await closed_spine.run(f"UPDATE api_key SET weight = {none}")
        async with closed_spine.store.statement() as connection:
            await turns.look(connection, ["maintenance"], depths, time.monotonic() + 1.5 * number)
        assert turns._weights == given.caller_weights, none
    await hand.revoke(CONSOLE, key.id, None)
    async with closed_spine.store.statement() as connection:
        await turns.look(connection, ["maintenance"], depths, time.monotonic() + 9.0)
    assert turns._weights == given.caller_weights


async def test_a_share_keeps_its_order_and_what_one_lacks_the_others_get(
    closed_spine: Spine, settings: Settings
) -> None:
    many = await submit(closed_spine, 300, "many")
    few = await submit(closed_spine, 4, "few")
    dispatcher = dispatcher_of(closed_spine, settings)
    await closed_spine.open_epoch()
    await dispatcher.single_pass()
    there = await on_broker(closed_spine)
    assert len(there) == settings.window_initial
    assert [one for one in there if one in few] == few
    assert sorted(one for one in there if one in many) == many[: settings.window_initial - 4]
    assert sorted(there[:8]) == sorted(few + many[:4])


async def test_what_is_more_urgent_goes_first_whoever_it_is_of(closed_spine: Spine, small: Settings) -> None:
    await backlog(closed_spine, 100, "'many'", priority=9)
    await backlog(closed_spine, 100, "'few'", priority=3)
    dispatcher = dispatcher_of(closed_spine, small)
    await closed_spine.open_epoch()
    await dispatcher.single_pass()
    assert Counter(await callers_of(closed_spine, await on_broker(closed_spine, list_key("maintenance", 1)))) == {
        "many": 30
    }
    assert await on_broker(closed_spine) == []


async def test_in_turn_a_circuit_breaker_holds_what_it_holds(closed_spine: Spine, settings: Settings) -> None:
    await submit(closed_spine, 40, "many", dependencies="bank")
    await submit(closed_spine, 5, "many")
    few = await submit(closed_spine, 3, "few")
    await closed_spine.run(
        "INSERT INTO breaker (scope, name, seen, machine) VALUES ('dependency', 'bank', 'open', '{}')"
    )
    dispatcher = dispatcher_of(closed_spine, settings)
    await closed_spine.open_epoch()
    while await dispatcher.single_pass():
        pass
    rows = await closed_spine.rows("SELECT place, count(*)::int AS n FROM task_live GROUP BY place ORDER BY place")
    assert {row["place"]: row["n"] for row in rows} == {"held": 40, "sent": 8}
    assert set(few) < set(await on_broker(closed_spine))


async def test_who_dispatches_after_another_goes_on_in_turn(closed_spine: Spine, small: Settings) -> None:
    await backlog(closed_spine, 200, "'one'")
    await backlog(closed_spine, 200, "'two'")
    await closed_spine.open_epoch()
    sent: Counter[str] = Counter()
    for _ in range(6):
        dispatcher = dispatcher_of(closed_spine, small)
        await dispatcher.single_pass()
        there = await on_broker(closed_spine)
        sent.update(await callers_of(closed_spine, there))
        await closed_spine.server.command("DEL", MAINTENANCE)
    assert sent == {"one": 90, "two": 90}


async def test_shares_are_found_page_by_page(spine: Spine) -> None:
    await backlog(spine, 360, "'a'", "lpad((n % 120)::text, 4, '0')")
    await backlog(spine, 420, "'b' || lpad((n % 210)::text, 4, '0')")
    async with spine.store.statement() as connection:
        first = await shares.line(connection, "maintenance", 3)
        assert len(first) == MOST_CALLERS
        assert list(first["a"]) == [f"{number:04}" for number in range(MOST_KEYS)]
        rest = await shares.line(connection, "maintenance", 3, after=max(first) + "\x01")
        assert list(rest) == [f"b{number:04}" for number in range(MOST_CALLERS - 1, 210)]
        more = await shares.line(connection, "maintenance", 3, keys_after={"a": "0100", "b0000": "x"})
        assert list(more["a"]) == [f"{number:04}" for number in range(100, 120)]
        assert (more["b0000"], more["b0001"]) == ([], [""])
        assert await shares.line(connection, "maintenance", 4) == {}
        assert await shares.ends(connection, ["maintenance", "email"]) == {
            "maintenance": {Share("a", "0000"), Share("b0209", "")}
        }


@pytest.mark.parametrize("analyzed_while", ["empty", "full"])
async def test_no_question_of_turns_reads_all_that_waits(spine: Spine, analyzed_while: str) -> None:
    if analyzed_while == "empty":
        await spine.run("ANALYZE task_live")
    await backlog(spine, 20_000, "'many'")
    await backlog(spine, 10, "'few'", "'k' || n")
    if analyzed_while == "full":
        await spine.run("ANALYZE task_live")
    here: dict[str, Any] = {"queue": "maintenance", "priority": 3}
    wanted = {"caller": ["few", "many"], "key": ["k1", ""], "most": [5, 5], "room": 10, "epoch": 1}
    asked: list[tuple[TextClause, dict[str, Any]]] = [
        (shares._ENDS, {"queues": ["maintenance"]}),
        (shares._LEVEL, {"queue": "maintenance", "below": 11}),
        (shares._LINE, here | {"after": "", "caller": [], "key": []}),
        (dispatching._TAKE_TURNS, here | wanted),
        (dispatching._SORT_OUT_TURNS, here | wanted),
        (shares._OF_TASKS, {"ids": [row["id"] for row in await spine.rows("SELECT id FROM task_live LIMIT 32")]}),
    ]
    for statement, parameters in asked:
        async with spine.store.transaction() as connection:
            if statement not in (shares._ENDS, shares._OF_TASKS):
                await shares.go_along_indexes(connection)
            explained = await connection.execute(text(f"EXPLAIN (ANALYZE, BUFFERS) {statement.text}"), parameters)
            plan = [str(row[0]) for row in explained]
        assert not [line for line in plan if "Seq Scan on task_live" in line], plan
        read = [int(rows) for line in plan for rows in re.findall(r"on task_live t .*rows=(\d+)", line)]
        assert max(read, default=0) <= 10, plan
        removed = [int(line.rsplit(" ", 1)[-1]) for line in plan if "Rows Removed by" in line]
        assert max(removed, default=0) <= 100, plan


async def test_who_waits_where_nobody_came_with_a_key_takes_turns_once_somebody_does(
    closed_spine: Spine, small: Settings
) -> None:
    old = await submit(closed_spine, 40, "local")
    assert await closed_spine.rows("SELECT DISTINCT alone FROM task_live") == [{"alone": True}]
    late = await submit(closed_spine, 40, "local", "a")
    new = await submit(closed_spine, 40, "local")
    rows = await closed_spine.rows("SELECT DISTINCT fairness_key, alone FROM task_live ORDER BY fairness_key, alone")
    assert rows == [
        {"fairness_key": "", "alone": False}, {"fairness_key": "", "alone": True}, {"fairness_key": "a", "alone": False}
    ]  # fmt: skip
    dispatcher = dispatcher_of(closed_spine, small)
    await closed_spine.open_epoch()
    sent = await sent_in_passes(closed_spine, dispatcher, 4)
    assert [one for one in sent if one not in late] == old + new
    assert [one for one in sent if one in late] == late
    assert sorted(sent[:80]) == sorted(old + late), "one of each in turn"
    assert await closed_spine.rows("SELECT DISTINCT alone FROM task_live") == [{"alone": False}]


async def test_what_waits_of_one_share_alone_is_in_no_index_of_shares_until_another_waits(
    closed_spine: Spine, small: Settings
) -> None:
    first = await submit(closed_spine, 50, "many", "a")
    dispatcher = dispatcher_of(closed_spine, small)
    await closed_spine.open_epoch()
    sent = await sent_in_passes(closed_spine, dispatcher, 1)
    await closed_spine.window.refresh()
    rest = await submit(closed_spine, 200, "many", "a")
    assert await alone_of(closed_spine) == {("many", "a"): 200}
    sent += await sent_in_passes(closed_spine, dispatcher, 2)
    assert sent == (first + rest)[:90], "in their order, as ever"

    other = OpenWindow(closed_spine.broker, small)
    await other.refresh()
    few = await submit(closed_spine, 10, "few")
    more = await submit(closed_spine, 5, "many", "a")
    assert await alone_of(closed_spine) == {("many", "a"): 160}, "of those that came after another, none"
    # One more process, which did not see the other.
    assert other.waits_alone("maintenance", "many", "a")
    later = [new_task(caller="many", fairness_key="a", alone=True) for _ in range(5)]
    async with closed_spine.store.statement() as connection:
        await submitting.store(connection, later, [], 60.0)
    sent = await sent_in_passes(closed_spine, dispatcher, 1)
    assert [one for one in sent if one in few] == few, "they wait for none of the 160"
    sent += await sent_in_passes(closed_spine, dispatcher, 8)
    assert [one for one in sent if one not in few][: len(rest) - 40] == rest[40:]
    assert sorted(sent) == sorted(rest[40:] + few + more + [task.id for task in later])
    assert await alone_of(closed_spine) == {}


async def test_who_waits_alone_is_told_to_every_process_and_no_longer_once_another_waits(
    closed_spine: Spine, settings: Settings
) -> None:
    await submit(closed_spine, 300, "many", "a")
    dispatcher = dispatcher_of(closed_spine, settings)
    await closed_spine.open_epoch()
    await dispatcher.single_pass()
    window = OpenWindow(closed_spine.broker, settings)
    assert not window.waits_alone("maintenance", "many", "a")
    await window.refresh()
    assert window.waits_alone("maintenance", "many", "a")
    assert not window.waits_alone("maintenance", "many", "b")
    await window.refresh()
    assert not window.waits_alone("maintenance", "many", "a"), (
        "one of another came here: for a second nobody's is alone"
    )
    again = OpenWindow(closed_spine.broker, settings)
    await again.refresh()
    assert again.waits_alone("maintenance", "many", "a")
    assert again.waits_alone("email", "local", "")
    assert not again.waits_alone("email", "many", "a")

    await submit(closed_spine, 300, "few")
    dispatcher._turn_taking._look_at = 0.0
    await dispatcher.single_pass()
    await again.refresh()
    assert not again.waits_alone("maintenance", "many", "a")
    assert (await closed_spine.broker.depths()).queues["maintenance"].sole is None


async def test_a_dispatcher_that_takes_over_sees_by_itself_who_waits_alone(
    closed_spine: Spine, small: Settings
) -> None:
    await submit(closed_spine, 50, "many", "a")
    await closed_spine.open_epoch()
    await sent_in_passes(closed_spine, dispatcher_of(closed_spine, small), 1)
    await closed_spine.window.refresh()
    await submit(closed_spine, 100, "many", "a")
    await closed_spine.run("DELETE FROM task_live WHERE NOT alone")
    again = dispatcher_of(closed_spine, small)
    await sent_in_passes(closed_spine, again, 1)
    assert (await closed_spine.broker.depths()).queues["maintenance"].sole == ("many", "a")
    few = await submit(closed_spine, 10, "few")
    assert set(few) < set(await sent_in_passes(closed_spine, again, 1))


async def test_a_task_that_is_written_again_and_sent_then_waits_alone_no_more(
    closed_spine: Spine, settings: Settings
) -> None:
    await closed_spine.open_epoch()
    # Its group was refused for another one, and there is room by the time it stands alone.
    task = new_task()
    closed_spine.window.shut()
    closed_spine.commits._writer._reserve([task])
    assert (task.sent_epoch, task.alone) == (None, True)
    window = OpenWindow(closed_spine.broker, settings)
    await window.refresh()
    closed_spine.commits._writer._window = window
    await closed_spine.commits.write_batch([task])
    assert await closed_spine.rows("SELECT place, alone FROM task_live") == [{"place": "sent", "alone": False}]
    await closed_spine.commits.drain()


async def test_who_is_counted_for_a_quota_never_waits_alone(closed_spine: Spine, small: Settings) -> None:
    await submit(closed_spine, 50, "many")
    await closed_spine.open_epoch()
    await sent_in_passes(closed_spine, dispatcher_of(closed_spine, small), 1)
    await closed_spine.window.refresh()
    await submit(closed_spine, 7, "many")
    await submit(closed_spine, 5, "many", is_counted=True)
    assert await alone_of(closed_spine) == {("many", ""): 7}


async def test_every_process_is_told_that_a_queue_is_shared(closed_spine: Spine, settings: Settings) -> None:
    await submit(closed_spine, 1, "few")
    await closed_spine.open_epoch()
    await closed_spine.dispatcher.single_pass()
    other = OpenWindow(closed_spine.broker, settings)
    assert other.waits_alone("maintenance", "local", "")
    await other.refresh()
    assert not other.waits_alone("maintenance", "local", "")
    assert other.waits_alone("email", "local", "")
    again = dispatcher_of(closed_spine, settings)
    await again.single_pass()
    await other.refresh()
    assert (await closed_spine.broker.depths()).queues["maintenance"].shared


@pytest.mark.parametrize("analyzed_while", ["empty", "full"])
async def test_a_quota_reads_no_more_than_it_counts(spine: Spine, analyzed_while: str) -> None:
    if analyzed_while == "empty":
        await spine.run("ANALYZE task_live")
    await backlog(spine, 20_000, "'many'")
    await backlog(spine, 10, "'few'", "'k' || n", priority=5)
    if analyzed_while == "full":
        await spine.run("ANALYZE task_live")
    most = {"few": 100, "many": 50, "nobody": 70}
    asked = {"callers": list(most), "most": list(most.values()), "queues": ["maintenance", "email"]}
    async with spine.store.statement() as connection:
        assert await of_callers.waiting(connection, most, ["maintenance", "email"]) == {
            "few": 10, "many": 50, "nobody": 0
        }  # fmt: skip
        explained = await connection.execute(text(f"EXPLAIN (ANALYZE) {of_callers._WAITING.text}"), asked)
        plan = [str(row[0]) for row in explained]
    assert not [line for line in plan if "Seq Scan on task_live" in line], plan
    read = [float(rows) for line in plan for rows in re.findall(r"on task_live t .*rows=([\d.]+)", line)]
    assert max(read) <= 50, plan
    assert [line for line in plan if "ix_task_live_shares" in line], plan
    removed = [int(line.rsplit(" ", 1)[-1]) for line in plan if "Rows Removed by" in line]
    assert max(removed, default=0) <= 100, plan


@pytest.mark.parametrize("analyzed_while", ["empty", "full"])
async def test_those_in_front_are_placed_and_no_others_are_read(spine: Spine, analyzed_while: str) -> None:
    if analyzed_while == "empty":
        await spine.run("ANALYZE task_live")
    await backlog(spine, 20_000, "'many'")
    await spine.run("UPDATE task_live SET alone = true")
    await backlog(spine, 10, "'few'")
    await spine.run("VACUUM task_live")
    if analyzed_while == "full":
        await spine.run("ANALYZE task_live")
    here = {"queue": "maintenance", "priority": 3}
    asked: list[tuple[TextClause, dict[str, Any]]] = [
        (shares._ALONE, {"queues": ["maintenance"]}),
        (shares._PLACE, here),
    ]
    async with spine.store.transaction() as connection:
        await connection.execute(shares._ONE_BY_ONE)
        for statement, parameters in asked:
            explained = await connection.execute(text(f"EXPLAIN (ANALYZE) {statement.text}"), parameters)
            plan = [str(row[0]) for row in explained]
            assert not [line for line in plan if "Seq Scan on task_live" in line], plan
            removed = [int(line.rsplit(" ", 1)[-1]) for line in plan if "Rows Removed by" in line]
            assert max(removed, default=0) <= 100, plan
    assert await alone_of(spine) == {("many", ""): 18_000}
    async with spine.store.transaction() as connection:
        assert await shares.place(connection, "maintenance", 3) == 0, "so many of the first take turns already"
