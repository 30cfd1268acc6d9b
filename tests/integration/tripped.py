"""Circuit breakers that hold tasks, for tests that look between the stages."""

from typing import Any

from pointsman_service.breaker.breaker import BreakerState, Override
from pointsman_service.breaker.registry import Registry
from pointsman_service.reconcile.breakers import BreakerSweep
from pointsman_service.reconcile.held_by_breakers import HoldingSweep
from tests.integration.spine import Spine, new_task

THRESHOLD = 3
SMTP = "dependency:smtp"
KEY = ("dependency", "smtp")
LIST = "maintenance\x06\x167"
"""Where the messages of ``new_task`` are."""


async def trip(spine: Spine) -> None:
    """Let ``smtp`` fail until its breaker opens, and record that. The tasks that failed are gone afterwards."""
    failed = []
    for _ in range(spine.settings.circuit_breaker.failure_threshold or 0):
        await spine.window.refresh()
        task = new_task(dependencies="smtp", max_attempts=2)
        await spine.commits.join(task)
        await spine.commits.drain()
        message = await spine.message(LIST)
        assert message is not None
        assert message["headers"]["id"] == task.id
        await spine.tell(message, await spine.gate(message), blamed=SMTP)
        failed.append(task.id)
    await spine.record_all()
    await spine.run("DELETE FROM task_live WHERE id = ANY(CAST(:ids AS uuid[]))", ids=failed)


class Holding:
    """The loops that hold tasks and let them go, run by hand."""

    def __init__(self, spine: Spine) -> None:
        self.spine = spine
        self.registry = Registry(spine.store, spine.settings)
        self.sweep = HoldingSweep(spine.store, spine.server, spine.settings)
        self.turns = BreakerSweep(self.registry)

    async def open(self, scope: str, name: str) -> None:
        """Trip a breaker as its failures would."""

        def tripped(entry: Any, now: float) -> Any:
            return entry.breaker.trip(entry.policy, now, "a test", lambda: 0.0)

        await self.registry.change((scope, name), tripped)

    async def force(self, scope: str, name: str, state: BreakerState) -> None:
        """Set a breaker by hand."""
        await self.registry.change(
            (scope, name), lambda entry, now: entry.breaker.force(Override(state, "me", "a test"), now)
        )

    async def close(self, scope: str, name: str) -> None:
        """Close a breaker by hand."""
        await self.registry.change((scope, name), lambda entry, now: entry.breaker.close_by_hand("me", "a test", now))

    async def half_open(self, scope: str, name: str) -> None:
        """Let the wait of an open breaker be over."""
        await self.registry.change((scope, name), lambda entry, now: entry.breaker.tick(entry.breaker.retry_at or now))

    async def held(self, reason: str | None = None) -> list[str]:
        """The tasks that are held, in the order of their submission."""
        rows = await self.spine.rows(
            "SELECT id FROM task_live WHERE place = 'held' AND (CAST(:reason AS text) IS NULL OR held_reason = :reason)"
            " ORDER BY id",
            reason=reason,
        )
        return [str(row["id"]) for row in rows]

    async def waiting(self) -> list[str]:
        """The tasks that wait to be sent, in the order of their submission."""
        return [
            str(row["id"])
            for row in await self.spine.rows("SELECT id FROM task_live WHERE place = 'waiting' ORDER BY id")
        ]

    async def store_waiting(self, **changes: Any) -> str:
        """A task that waits in Postgres."""
        self.spine.window.shut()
        task = new_task(**({"dependencies": "smtp", "max_attempts": 4} | changes))
        await self.spine.commits.join(task)
        return task.id
