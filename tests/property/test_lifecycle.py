"""Whatever happens to tasks, in whatever order and however often it is reported: the history of every row is legal,
every task ends once, and the counters equal the rows.

Stages, scripts and SQL are the real ones; only the workers are played. ``PROPERTY_EXAMPLES`` says how many histories
are tried (6).
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pydantic import SecretStr

from pointsman_contract import keys
from pointsman_service.breaker.breaker import BreakerState
from pointsman_service.callers import LOCAL
from pointsman_service.claims.rescue import Rescuer
from pointsman_service.database import create_engine
from pointsman_service.errors import CountDiffers, TaskFinished
from pointsman_service.operate.cancel import Canceller
from pointsman_service.operate.pause import Pauser
from pointsman_service.operate.purge import PURGEABLE, Purger, PurgeRequest
from pointsman_service.operate.withdraw import Withdrawer
from pointsman_service.reconcile.cancelled import CancelledSweep
from pointsman_service.reconcile.due import DueSweep
from pointsman_service.reconcile.expired import ExpiredSweep
from pointsman_service.reconcile.outbox import OutboxSweep
from pointsman_service.record.backlog import BacklogRollup
from pointsman_service.record.recorder import Recorder
from pointsman_service.record.rollup import Rollup
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.lost.rescuing import Running
from pointsman_service.store.queues import backlog
from pointsman_service.store.store import Store
from pointsman_service.store.tasks import changing
from pointsman_service.store.tasks.changing import Change
from tests.integration.reconcile.judge import beat
from tests.integration.spine import Spine
from tests.integration.tripped import Holding
from tests.race.world import ERROR, OTHER_QUEUE, QUEUE, Sweep, World, lists
from tests.stand import invariants, recount
from tests.stand.waiting import until
from tests.torture import audit

Answer = TypeVar("Answer")

_EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "6"))
_EMPTIED = (
    "task_live", "task", "task_attempt", "outbox", "idempotency_key", "task_metrics", "task_metrics_delta",
    "task_metrics_hour", "task_metrics_day", "task_metrics_by_minute", "task_metrics_by_hour", "task_metrics_by_day",
    "backlog", "backlog_delta", "broker_epoch", "recorder_position", "leader", "worker", "queue_pause", "breaker",
    "breaker_transition", "audit_violation",
)  # fmt: skip
_PICK = st.integers(min_value=0, max_value=1_000)
_OWNER = "w@h"
_BREAKER = ("task_type", "noop")
_TIMES = [Change(delay_seconds=3600.0), Change(delay_seconds=0.0)]
_DEATHS = 4
"""As often a task may lose its worker without being put into quarantine."""


class Report:
    """What a worker reported once, and may report again."""

    def __init__(
        self, message: dict[str, Any], verdict: list[Any], kind: str, token: str, more: dict[str, Any]
    ) -> None:
        self.message, self.verdict, self.kind, self.token, self.more = message, verdict, kind, token, more


class Lifecycle(RuleBasedStateMachine):
    """Tasks, messages in the hands of workers, and everybody who may do something next."""

    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.tokens = self.beats = 0
        self.deaths: Counter[str] = Counter()
        self.tasks: list[str] = []
        self.in_hand: list[dict[str, Any]] = []
        self.running: list[tuple[dict[str, Any], list[Any], str]] = []
        self.reports: list[Report] = []
        self.do(self._open())

    def do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run to its end."""
        return self.runner.run(work)

    async def _open(self) -> None:
        self.store = Store(create_engine(self.settings, "property"))
        server = RedisServer(self.settings.require_redis_url(), self.settings.redis_timeout_seconds)
        self.spine = Spine(self.store, server, self.settings)
        self.world = World(self.spine, 0)
        self.holding = Holding(self.spine)
        self.sweeps: list[Sweep] = [
            DueSweep(self.store, self.settings),
            OutboxSweep(self.store, self.settings),
            ExpiredSweep(self.store, server, self.settings),
            CancelledSweep(self.store, server, self.settings),
            self.holding.sweep,
        ]
        await self.spine.run(f"TRUNCATE {', '.join(_EMPTIED)}")
        await server.command("FLUSHALL")
        await self.spine.open_epoch()

    def teardown(self) -> None:
        """Let everything end, and look at the whole."""
        try:
            self.do(self._end())
        finally:
            self.do(self._close())
            self.runner.close()

    async def _close(self) -> None:
        await self.spine.commits.drain()
        await self.spine.server.close()
        await self.store.close()

    async def _end(self) -> None:
        for message, verdict, token in self.running:
            await self._report(Report(message, verdict, "succeeded", token, {}))
        for message in self.in_hand:
            await self.world.work(message)
        await self._set_paused(paused=False)
        await self.holding.close(*_BREAKER)
        await self.spine.record_all()
        await until(self._is_nothing_held, "what is held to be let go")
        await self.spine.run("UPDATE task_live SET due_at = now() WHERE place = 'asleep'")
        await self.world.settle()
        states = await self.world.check()
        assert states.keys() == set(self.tasks)
        before = await self.spine.counters()
        for report in self.reports:
            await self._report(report)
        await self.spine.record_all()
        after = await self.spine.counters()
        assert after == before, "reports that came again changed the counters"
        rollup = Rollup(self.store, self.settings)
        while await rollup.single_pass():
            pass
        assert await recount.differences(self.spine) == []
        assert await self.world.check() == states

    async def _is_nothing_held(self) -> bool:
        await self.holding.sweep.single_pass()
        return not await self.holding.held()

    @initialize(tasks=st.integers(min_value=1, max_value=4))
    def some_tasks(self, tasks: int) -> None:
        """To begin with."""
        for _ in range(tasks):
            self.submit(2, "now")

    @rule(attempts=st.integers(min_value=1, max_value=3), when=st.sampled_from(["now", "later", "expiring"]))
    def submit(self, attempts: int, when: str) -> None:
        """A task, due now, later, or with an end to its patience."""
        changes: dict[str, Any] = {"max_attempts": attempts}
        if when == "later":
            changes["delay_seconds"] = 3600.0
        if when == "expiring":
            changes["expires_at"] = datetime.now(UTC) + timedelta(hours=1)
        self.tasks.append(self.do(self.world.submit(**changes)))

    @rule()
    def a_worker_takes_a_message(self) -> None:
        """Off its list, into the hand of a worker."""
        message = self.do(self.world.take())
        if message is not None:
            self.in_hand.append(message)

    @precondition(lambda self: self.in_hand)
    @rule(pick=_PICK, keeps=st.booleans())
    def a_message_meets_the_gate(self, pick: int, keeps: bool) -> None:
        """Once, or again when the broker delivers it twice."""
        number = pick % len(self.in_hand)
        message = self.in_hand[number] if keeps else self.in_hand.pop(number)
        self.tokens += 1
        token = f"token-{self.tokens}"
        verdict = self.do(self.spine.gate(message, token))
        if verdict[0] == b"run":
            self.world.ran.setdefault(message["headers"]["id"], []).append(int(verdict[1]))
            self.running.append((message, verdict, token))

    @precondition(lambda self: self.running)
    @rule(pick=_PICK, how=st.sampled_from(["succeeded", "retry", "retry", "permanent"]))
    def an_attempt_ends(self, pick: int, how: str) -> None:
        """Well, or badly with or without another to follow."""
        message, verdict, token = self.running.pop(pick % len(self.running))
        kind = "succeeded" if how == "succeeded" else "failed"
        more: dict[str, Any] = {} if how == "succeeded" else {"error": ERROR}
        if how == "retry":
            more["retry_in_seconds"] = 0.0
        if how == "permanent":
            more["permanent"] = True
        self.do(self._report(Report(message, verdict, kind, token, more)))

    async def _report(self, report: Report) -> None:
        if report not in self.reports:
            self.reports.append(report)
        await self.spine.report(report.message, report.verdict, report.kind, report.token, **report.more)

    @precondition(lambda self: self.reports)
    @rule(pick=_PICK)
    def an_outcome_is_reported_again(self, pick: int) -> None:
        """As after an answer that got lost."""
        self.do(self._report(self.reports[pick % len(self.reports)]))

    @rule(pick=_PICK)
    def an_event_is_read_again(self, pick: int) -> None:
        """A copy of one that is not recorded yet."""
        self.do(self._copy_event(pick))

    async def _copy_event(self, pick: int) -> None:
        epoch = int(await self.spine.server.command("HGET", keys.CONTROL, "epoch"))
        entries = await self.spine.server.command("XRANGE", keys.events(epoch), "-", "+")
        if entries:
            await self.spine.server.command("XADD", keys.events(epoch), "*", *entries[pick % len(entries)][1])

    @rule(events=st.sampled_from([1, 2, 500]))
    def the_recorder_passes(self, events: int) -> None:
        """With batches of one event, two, or all there are."""
        limited = self.settings.model_copy(update={"record_events": events})
        recorder = Recorder(self.store, self.spine.server, limited)
        self.do(recorder.single_pass())
        self.spine.recorder._epoch = None

    @rule()
    def the_dispatcher_passes(self) -> None:
        """Whatever waits is sent."""
        self.do(self.spine.dispatcher.single_pass())

    @rule(pick=_PICK)
    def a_sweep_passes(self, pick: int) -> None:
        """One of them."""
        self.do(self.sweeps[pick % len(self.sweeps)].single_pass())

    @rule(what=st.sampled_from(["due_at = now()", "expires_at = now()"]))
    def time_passes(self, what: str) -> None:
        """What was to come has come."""
        where = "place = 'asleep'" if what.startswith("due_at") else "expires_at IS NOT NULL"
        self.do(self.spine.run(f"UPDATE task_live SET {what} WHERE {where}"))

    @precondition(lambda self: self.tasks)
    @rule(pick=_PICK)
    def a_task_is_cancelled(self, pick: int) -> None:
        """Whatever state it is in."""
        self.do(self._cancel(self.tasks[pick % len(self.tasks)]))

    async def _cancel(self, task: str) -> None:
        async with self.spine.recording():
            try:
                await Canceller(self.store, self.spine.server).cancel(LOCAL, UUID(task), 10.0)
            except TaskFinished:
                return

    @rule(paused=st.booleans())
    def the_queue_is_paused_or_resumed(self, paused: bool) -> None:
        """Whatever is under way."""
        self.do(self._set_paused(paused=paused))

    async def _set_paused(self, *, paused: bool) -> None:
        await Pauser(self.store, self.spine.broker, self.settings).set_paused(LOCAL, QUEUE, paused=paused, reason=None)

    @rule()
    def the_queue_is_purged(self) -> None:
        """Of everything that has not started."""
        self.do(self._purge())

    async def _purge(self) -> None:
        purger = Purger(self.store, Withdrawer(self.store, self.spine.server, self.settings), self.settings)
        async with self.spine.recording():
            found = await purger.count(QUEUE, PurgeRequest(PURGEABLE))
            try:
                await purger.purge(LOCAL, QUEUE, PurgeRequest(PURGEABLE, expected=found.tasks))
            except CountDiffers:
                return

    @rule(does=st.sampled_from(["opens", "lets probes pass", "closes"]))
    def a_breaker_changes(self, does: str) -> None:
        """That of the task type of all."""
        if does == "opens":
            self.do(self.holding.open(*_BREAKER))
        elif does == "closes":
            self.do(self.holding.close(*_BREAKER))
        else:
            self.do(self._probe())

    async def _probe(self) -> None:
        entry = await self.holding.registry.find(_BREAKER)
        if entry is not None and entry.breaker.seen is BreakerState.OPEN:
            await self.holding.half_open(*_BREAKER)

    @precondition(lambda self: self.running)
    @rule(pick=_PICK, comes_back=st.booleans())
    def a_worker_is_taken_for_dead(self, pick: int, comes_back: bool) -> None:
        """It is, or it was only frozen and reports late what it ran."""
        number = pick % len(self.running)
        message, verdict, _ = self.running[number]
        task = message["headers"]["id"]
        if self.deaths[task] < _DEATHS:
            self.deaths[task] += 1
            if not comes_back:
                del self.running[number]
            self.do(self._rescue(Running(task, int(verdict[1]), _OWNER)))

    async def _rescue(self, attempt: Running) -> None:
        await self.spine.record_all()
        epoch = int(await self.spine.server.command("HGET", keys.CONTROL, "epoch"))
        await Rescuer(self.store, self.spine.server).rescue([attempt], epoch)

    @rule()
    def redis_comes_back_empty(self) -> None:
        """The worker lives: it says what it runs, and reports again what it had reported."""
        self.do(self._lose_redis())

    async def _lose_redis(self) -> None:
        await self.spine.server.command("FLUSHALL")
        await self.spine.epochs.single_pass()
        epoch = int(await self.spine.server.command("HGET", keys.CONTROL, "epoch"))
        self.beats += 1
        runs = [(message["headers"]["id"], int(verdict[1]), token) for message, verdict, token in self.running]
        await beat(self.spine, _OWNER, epoch, self.beats, *runs)
        for report in self.reports:
            await self._report(report)
        await self.spine.open_epoch()

    @precondition(lambda self: self.in_hand)
    @rule(pick=_PICK)
    def a_message_is_delivered_twice(self, pick: int) -> None:
        """A copy goes back to its list."""
        message = self.in_hand[pick % len(self.in_hand)]
        self.do(self.spine.server.command("LPUSH", next(lists()), json.dumps(message)))

    @rule()
    def what_was_sent_is_taken_for_left_behind(self) -> None:
        """As by a process that died between publishing and its outbox."""
        self.do(
            self.spine.run(
                "INSERT INTO outbox (task_ids, created_at) SELECT array_agg(id), now() - interval '1 hour'"
                " FROM task_live WHERE place = 'sent' HAVING count(*) > 0"
            )
        )

    @invariant()
    def every_history_is_legal(self) -> None:
        """So far."""
        self.do(self._legal())

    async def _legal(self) -> None:
        async with self.store.statement() as connection:
            moves = await audit.violations(connection)
        assert not moves, moves
        rows = await self.spine.rows("SELECT id FROM task UNION ALL SELECT id FROM task_live")
        assert sorted(str(row["id"]) for row in rows) == sorted(self.tasks)

    @rule()
    def the_backlog_is_folded(self) -> None:
        """Its deltas become numbers, and those of TaskMetrics become deltas of it."""
        self.do(Rollup(self.store, self.settings).single_pass())
        self.do(BacklogRollup(self.store, self.settings).single_pass())

    @precondition(lambda self: self.tasks)
    @rule(pick=_PICK, change=st.sampled_from([Change(queue=OTHER_QUEUE), Change(queue=QUEUE), *_TIMES]))
    def a_task_is_changed(self, pick: int, change: Change) -> None:
        """Another queue, later, or at once, where it waits in PostgreSQL."""
        self.do(self._change(self.tasks[pick % len(self.tasks)], change))

    async def _change(self, task: str, change: Change) -> None:
        async with self.store.transaction() as connection:
            await changing.change(connection, task, change)

    @invariant()
    def the_backlog_is_what_there_is(self) -> None:
        """What is kept in numbers is what a count of the rows finds."""
        self.do(self._backlog())

    async def _backlog(self) -> None:
        async with self.store.transaction() as connection:
            assert await backlog.mend(connection) == []

    @invariant()
    def finished_tasks_are_counted(self) -> None:
        """Counters of what has ended equal the rows; those of live tasks may be ahead."""
        self.do(self._counted())

    async def _counted(self) -> None:
        in_rows = await invariants.in_rows(self.spine)
        counted = await self.spine.counters()
        for name in ("succeeded", "failed", "cancelled", "expired"):
            assert counted.get(name, 0) == in_rows[name], (name, counted, in_rows)


@pytest.mark.timeout(600)
def test_any_order_of_events_and_replays_gives_a_legal_history(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    class OnThese(Lifecycle):
        settings = Settings(
            database_url=SecretStr(database_url),
            redis_url=SecretStr(redis_url),
            data_dir=tmp_path,
            record_wait_seconds=0.001,
            census_seconds=0.05,
            outbox_age_seconds=0.05,
        )

    asyncio.run(_watch(OnThese.settings))
    run_state_machine_as_test(
        OnThese,
        settings=hypothesis_settings(
            max_examples=_EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


async def _watch(settings: Settings) -> None:
    store = Store(create_engine(settings, "property"))
    async with store.transaction() as connection:
        await audit.install(connection)
    await store.close()
