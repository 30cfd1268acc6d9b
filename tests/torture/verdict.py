"""What must be true after every scenario, whatever was done: from the effects, from the answers, and from SQL."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from tests.stand import invariants, recount
from tests.stand.stack import Row
from tests.torture.effects import Execution, overlapping
from tests.torture.installation import Installation
from tests.torture.load import Expected, Load

_SHOWN = 5


class Harm(Enum):
    """What a scenario does to workers and to Redis's data: it decides what the effects may show."""

    NONE = "every attempt leaves exactly one effect, and no attempt is spent on the fault"
    DEATHS = "an attempt may die with its process; none runs twice, and no two of a task at once"
    LOSS = "a worker was frozen or cut off, or Redis lost data: executions may double, and are counted"


@dataclass
class Verdict:
    """The figures of one scenario, and what does not hold."""

    accepted: int = 0
    executed: int = 0
    """Accepted tasks with an effect."""
    duplicated: int = 0
    """Executions beyond those a task needed."""
    lost: int = 0
    """Accepted tasks without a row, or that succeeded without an effect."""
    faults: list[str] = field(default_factory=list)

    def demand(self, holds: bool, what: str) -> None:
        """Note what does not hold."""
        if not holds:
            self.faults.append(what)


async def judge(stack: Installation, load: Load, harm: Harm, statuses: frozenset[int]) -> Verdict:
    """The verdict on a drained installation."""
    # A call leaves its effect with whom it calls, and its scenario counts it there.
    found = await stack.rows(
        "SELECT id, state, attempt, max_attempts, tags FROM task WHERE task_type <> 'http_request'"
    )
    rows = {str(row["id"]): row for row in found}
    executions = stack.effects.executions()
    verdict = Verdict(accepted=len(load.accepted), executed=len(load.accepted.keys() & executions.keys()))
    _rows_are_right(verdict, load, rows)
    _effects_are_right(verdict, load.accepted, rows, executions, harm)
    _keys_are_right(verdict, load, rows)
    verdict.faults += load.complaints[:_SHOWN]
    others = load.statuses.keys() - statuses
    verdict.demand(not others, f"answers of other statuses: {dict(load.statuses)}")
    moves = await stack.violations()
    verdict.demand(not moves, f"illegal moves of rows: {moves[:_SHOWN]}")
    counted, in_rows = await invariants.counted(stack), await invariants.in_rows(stack)
    wrong = {name: (counted[name], in_rows[name]) for name in counted if counted[name] != in_rows[name]}
    verdict.demand(not wrong, f"counters (TaskMetrics, rows) differ: {wrong}")
    kept = await invariants.backlog(stack)
    verdict.demand(not kept, f"the backlog is not what there is: {kept[:_SHOWN]}")
    unequal = await recount.differences(stack)
    verdict.demand(not unequal, f"counters of hours and days differ from the rows: {unequal[:_SHOWN]}")
    return verdict


def _rows_are_right(verdict: Verdict, load: Load, rows: Mapping[str, Row]) -> None:
    missing = load.accepted.keys() - rows.keys()
    verdict.lost = len(missing)
    verdict.demand(not missing, f"accepted and without a row: {sorted(missing)[:_SHOWN]}")
    for task, expected in load.accepted.items():
        row = rows.get(task)
        if row is None or row["state"] in expected.may_end:
            continue
        # Deaths may spend the budget, and nothing else may.
        spent = row["state"] == "failed" and row["attempt"] >= row["max_attempts"]
        verdict.demand(spent, f"{task} ended {row['state']} at attempt {row['attempt']} of {row['max_attempts']}")


def _effects_are_right(
    verdict: Verdict,
    accepted: Mapping[str, Expected],
    rows: Mapping[str, Row],
    executions: Mapping[str, list[Execution]],
    harm: Harm,
) -> None:
    for task, row in rows.items():
        ran = executions.get(task, [])
        if row["state"] == "succeeded" and not ran:
            verdict.lost += task in accepted
            verdict.faults.append(f"{task} succeeded and left no effect")
        needed = accepted[task].fails + 1 if task in accepted else len({execution.attempt for execution in ran})
        verdict.duplicated += max(0, len(ran) - needed)
        if harm is Harm.LOSS:
            continue
        twice = [attempt for attempt, times in Counter(run.attempt for run in ran).items() if times > 1]
        verdict.demand(not twice, f"{task}: attempts {twice} ran more than once")
        verdict.demand(len(ran) <= row["attempt"], f"{task}: {len(ran)} effects of {row['attempt']} attempts")
        at_once = overlapping(ran)
        verdict.demand(not at_once, f"{task}: two executions at once: {at_once[:1]}")
        if harm is Harm.NONE and row["state"] == "succeeded":
            verdict.demand(len(ran) == row["attempt"], f"{task}: {len(ran)} effects of {row['attempt']} attempts")
            verdict.demand(len(ran) == needed, f"{task}: {len(ran)} executions where {needed} were needed")
    strangers = executions.keys() - rows.keys()
    verdict.demand(not strangers, f"effects without a row: {sorted(strangers)[:_SHOWN]}")


def _keys_are_right(verdict: Verdict, load: Load, rows: Mapping[str, Row]) -> None:
    several = {key: ids for key, ids in load.ids_of_key.items() if len(ids) > 1}
    verdict.demand(not several, f"keys that stand for several tasks: {list(several.items())[:_SHOWN]}")
    numbers = Counter(row["tags"]["number"] for row in rows.values() if row["tags"] and "number" in row["tags"])
    doubled = [number for number, times in numbers.items() if times > 1]
    verdict.demand(not doubled, f"submissions that became several tasks: {doubled[:_SHOWN]}")
    foreign = numbers.keys() - load.numbers_sent
    verdict.demand(not foreign, f"tasks nobody submitted: {sorted(foreign)[:_SHOWN]}")
