"""Are the dead letters those of the tasks that failed and were not run again? Looked at part by part, and put right.

Those that failed before there were rows of dead letters have none yet; and whoever is of a release before this one
writes none, and takes none away.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text

from pointsman_service.store.buried import LETTER, counted, letters_of
from pointsman_service.store.store import Connection

ROUNDS_AT_FIRST = 2
"""After so many the dead letters are complete: the second sees what the first could not yet."""
_LAST_ID = UUID(int=2**128 - 1)

_TAKE = text("""
    SELECT walked_to, rounds, rounds < :at_first OR ended_at < now() - CAST(:seconds AS float8) * interval '1 second'
        AS is_due
    FROM dead_letter_walk FOR UPDATE SKIP LOCKED
""")
_ADD = text(f"""
    WITH looked AS MATERIALIZED (
        SELECT id, task_type, error_type, queue, finished_at FROM task
        WHERE state = 'failed' AND id > CAST(:above AS uuid) ORDER BY id LIMIT :most
    ), added AS (
        INSERT INTO dead_letter ({LETTER}) SELECT {letters_of("l")} FROM looked l
        WHERE NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = l.id) ORDER BY l.id
        ON CONFLICT DO NOTHING RETURNING {LETTER}
    ), counted AS ({counted("added")})
    SELECT (SELECT count(*) FROM looked) AS looked, (SELECT count(*) FROM added) AS added,
        (SELECT id FROM looked ORDER BY id DESC LIMIT 1) AS last
""")
# One by one: joined, all tasks that there are would be read. OFFSET keeps the planner from it.
_TAKE_AWAY = text(f"""
    WITH wrong AS (
        SELECT d.task_id FROM dead_letter d WHERE d.task_id > CAST(:above AS uuid) AND d.task_id <= CAST(:last AS uuid)
            AND (EXISTS (SELECT FROM replayed_task r WHERE r.task_id = d.task_id)
                OR NOT EXISTS (SELECT FROM task t WHERE t.id = d.task_id AND t.state = 'failed' OFFSET 0))
        FOR UPDATE OF d SKIP LOCKED
    ), gone AS (
        DELETE FROM dead_letter d USING wrong w WHERE d.task_id = w.task_id
        RETURNING d.task_id, d.task_type, d.error_type, d.queue, d.failed_at
    ), counted AS ({counted("gone", taken=True)})
    SELECT count(*) FROM gone
""")
_WALKED = text("""
    UPDATE dead_letter_walk SET walked_to = :last, rounds = rounds + CAST(:over AS int),
        ended_at = CASE WHEN CAST(:over AS int) = 1 THEN now() ELSE ended_at END
""")
_ROUNDS = text("SELECT rounds FROM dead_letter_walk")


@dataclass(frozen=True, slots=True)
class Looked:
    """What one part came to."""

    added: int
    taken_away: int
    is_over: bool
    """The round has reached its end."""
    rounds: int
    """Those that had before."""


async def part(connection: Connection, most: int, round_seconds: float) -> Looked | None:
    """Look at the next ``most`` failed tasks; in a transaction. None: another one is at it, or the last round is over
    since less than ``round_seconds``.
    """
    at = (await connection.execute(_TAKE, {"at_first": ROUNDS_AT_FIRST, "seconds": round_seconds})).one_or_none()
    if at is None or not at.is_due:
        return None
    found = (await connection.execute(_ADD, {"above": at.walked_to, "most": most})).one()
    over = found.looked < most
    last = _LAST_ID if over else found.last
    taken: int = (await connection.execute(_TAKE_AWAY, {"above": at.walked_to, "last": last})).scalar_one()
    await connection.execute(_WALKED, {"last": UUID(int=0) if over else last, "over": int(over)})
    return Looked(found.added, taken, over, at.rounds)


async def is_complete(connection: Connection) -> bool:
    """Whether there is a row for every dead letter."""
    rounds: int = (await connection.execute(_ROUNDS)).scalar_one()
    return rounds >= ROUNDS_AT_FIRST
