"""Whatever is counted when, folded, carried and forgotten in whatever order, and wherever a process dies meanwhile: the
sums over any window are those of a recount.

``METRICS_HISTORIES`` says how many histories are tried (2), ``METRICS_SEED`` which.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text

from pointsman_service.store.metrics import counters, summing
from pointsman_service.store.metrics.carrying import carry_day
from pointsman_service.store.metrics.counters import Tallies
from pointsman_service.store.metrics.folding import KINDS, fold
from pointsman_service.store.metrics.forgetting import KeepFor, forget
from pointsman_service.store.metrics.histogram import bucket_of
from pointsman_service.store.metrics.reach import DAY, MINUTE, floor
from pointsman_service.store.metrics.remembering import Remembered
from pointsman_service.store.metrics.summing import GroupBy, Sums
from pointsman_service.store.store import Connection, Store

_HISTORIES = int(os.environ.get("METRICS_HISTORIES", "2"))
_SEED = int(os.environ.get("METRICS_SEED", random.randrange(1_000_000)))
_STEPS = 40
_DAYS = 45
_GROUPS: tuple[GroupBy, ...] = ("task_type", "queue", "both", "caller", "error", "pool")


class Move(NamedTuple):
    """Something that is counted."""

    task_type: str
    queue: str
    caller: str | None
    pool: str | None
    error: str | None
    at: datetime
    counter: str
    seconds: float


class Died(Exception):
    """The process is gone, and with it what it had not committed."""


class History:
    """One installation's figures, and everything that was counted in it."""

    def __init__(self, store: Store, chance: random.Random) -> None:
        self.store = store
        self.chance = chance
        self.remembered = Remembered()
        self.moves: list[Move] = []
        self.tells_names = True
        """Whether nothing was folded by the release before, which knows none."""

    async def live(self) -> None:
        """Anything, in any order, and then look."""
        acts: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (
            self.count, self.count, self.count, self.fold, self.fold, self.carry, self.forget, self.old_fold,
            self.fall_silent, self.look,
        )  # fmt: skip
        for _ in range(_STEPS):
            await self.chance.choice(acts)()
        for _ in range(5):
            await self.look()
        await self.look_at_everything()

    async def _commit(self, *work: Callable[[Connection], Coroutine[Any, Any, Any]]) -> bool:
        """Do it in one transaction; False when the process dies before it is committed."""
        dies = self.chance.random() < 0.2
        try:
            async with self.store.transaction() as connection:
                for one in work:
                    await one(connection)
                if dies:
                    raise Died
        except Died:
            return False
        return True

    def _move(self) -> Move:
        chance, now = self.chance, datetime.now(UTC)
        age = chance.choice((timedelta(0), timedelta(hours=chance.random() * 30), chance.random() * _DAYS * DAY))
        counter = chance.choice(("submitted", "succeeded", "failed", "held"))
        return Move(
            chance.choice("abc"),
            chance.choice(("email", "reports")),
            chance.choice((None, "shop", "billing")),
            None if counter == "submitted" else chance.choice(("email", "reports")),
            chance.choice(("KeyError", "OSError")) if counter == "failed" else None,
            now - age,
            counter,
            chance.choice((0.25, 1.5, 12.0)),
        )

    async def count(self) -> None:
        """Some moves, in one commit."""
        moves = [self._move() for _ in range(self.chance.randint(1, 12))]
        tallies = Tallies()
        for move in moves:
            tally = tallies.of(move.task_type, move.queue, move.at, move.caller, move.pool, move.error)
            tally.counts[move.counter] += 1
            tally.ran(move.seconds)
        if await self._commit(lambda connection: counters.add(connection, tallies)):
            self.moves += moves

    async def fold(self) -> None:
        """Some of the deltas."""
        await self._commit(lambda connection: fold(connection, self.chance.choice((1, 5, 1000))))

    async def carry(self) -> None:
        """A day, or several."""
        for _ in range(self.chance.choice((1, 3, 60))):
            await self._commit(carry_day)

    async def forget(self) -> None:
        """What is too old, more or less."""
        minutes = self.chance.choice((32, 20, 9))
        keep_for = KeepFor(minutes, minutes + self.chance.choice((0, 10)), 46)
        await self._run("UPDATE task_metrics_kept SET began_at = now() - interval '2 hours' WHERE began_at IS NOT NULL")
        await self._commit(lambda connection: forget(connection, keep_for, self.chance.choice((3, 1000))))

    async def fall_silent(self) -> None:
        """Nobody who knows hours folds for some minutes."""
        await self._run("UPDATE task_metrics_kept SET folded_at = now() - interval '5 minutes'")

    async def old_fold(self) -> None:
        """As the release before does: into minutes alone."""
        async with self.store.transaction() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('pointsman rollup'))"))
            late = text(
                "SELECT EXISTS (SELECT FROM task_metrics_delta, task_metrics_kept WHERE minute < minutes_since)"
            )
            if (await connection.execute(late)).scalar_one():
                # An event that is so late when that release runs again would be a minute that nobody reads.
                return
            taken = await connection.execute(text("DELETE FROM task_metrics_delta RETURNING *"))
            rows = [dict(row) for row in taken.mappings()]
            self.tells_names = self.tells_names and not rows
            groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
            for row in rows:
                groups.setdefault((row["minute"], row["task_type"], row["queue"]), []).append(row)
            await KINDS[0].add(connection, {key: counters.sum_rows(found) for key, found in groups.items()})

    async def _run(self, sql: str) -> None:
        async with self.store.transaction() as connection:
            await connection.execute(text(sql))

    async def look(self) -> None:
        """At any window, and at its steps."""
        chance = self.chance
        group_by = chance.choice(_GROUPS if self.tells_names else _GROUPS[:3])
        window = chance.choice((60.0, 3600.0, 86_400.0, chance.random() * _DAYS * 86_400))
        until = chance.choice((None, datetime.now(UTC) - timedelta(seconds=chance.random() * 5 * 86_400)))
        async with self.store.statement() as connection:
            found = await summing.over_window(connection, group_by, window, until)
            remembered = await self.remembered.over_window(connection, group_by, window, until)
            step = timedelta(seconds=chance.choice((3600, 21_600, 86_400)))
            stepped = await summing.over_steps(connection, group_by, window, until, step, sorted(_names(group_by)))
        if found.reach.unit == MINUTE:
            begins = (until or found.now) - timedelta(seconds=window)
            assert found.reach.begins == max(floor(begins, MINUTE), found.reach.begins)
            assert begins - found.reach.begins < MINUTE
        for told in (found, remembered):
            said = {_key(one, group_by): (_counts(one), one.run) for one in told.sums}
            assert said == self._recount(group_by, told.reach.begins, told.reach.ends)
        assert stepped.step is not None
        if group_by == "both":
            return
        for one in stepped.sums:
            assert one.step is not None
            recount = self._recount(group_by, one.step, one.step + stepped.step)
            assert recount.pop(_key(one, group_by)) == (_counts(one), one.run)
        begins = stepped.reach.begins
        while begins < stepped.reach.ends:
            there = {_key(one, group_by) for one in stepped.sums if one.step == begins}
            recount = self._recount(group_by, begins, begins + stepped.step)
            assert there == recount.keys(), (begins, stepped.reach, stepped.step, until, window)
            begins += stepped.step

    async def look_at_everything(self) -> None:
        """All that was ever counted is there, whatever was forgotten of its times."""
        async with self.store.statement() as connection:
            sums = await summing.everything(connection)
        said = {_key(one, "both"): (_counts(one), one.run) for one in sums}
        assert said == self._recount("both", datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))

    def _recount(self, group_by: GroupBy, begins: datetime, ends: datetime) -> dict[Any, Any]:
        counts: dict[Any, Counter[str]] = {}
        runs: dict[Any, Counter[int]] = {}
        for move in self.moves:
            if begins <= floor(move.at, MINUTE) < ends:
                key = (move.task_type, move.queue) if group_by == "both" else getattr(move, group_by)
                counts.setdefault(key, Counter())[move.counter] += 1
                runs.setdefault(key, Counter())[bucket_of(move.seconds)] += 1
        return {key: (dict(counts[key]), dict(runs[key])) for key in counts}


def _names(group_by: GroupBy) -> set[str]:
    return {
        "task_type": {"a", "b", "c"},
        "queue": {"email", "reports"},
        "caller": {"shop", "billing"},
        "error": {"KeyError", "OSError"},
        "pool": {"email", "reports"},
    }.get(group_by, set())


def _key(sums: Sums, group_by: GroupBy) -> Any:
    if group_by == "both":
        return (sums.task_type, sums.queue)
    assert not sums.is_others
    return sums.task_type or sums.queue or sums.name


def _counts(sums: Sums) -> dict[str, int]:
    return {name: int(count) for name, count in sums.counts.items() if count and not name.endswith("_sum")}


@pytest.mark.parametrize("number", range(_HISTORIES))
async def test_the_sums_of_any_window_are_those_of_a_recount(store: Store, number: int) -> None:
    seed = _SEED + number
    print(f"METRICS_SEED={seed}")  # noqa: T201  # shown when it fails
    await History(store, random.Random(seed)).live()
