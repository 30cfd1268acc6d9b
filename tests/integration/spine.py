"""The stages of the service without HTTP, for tests that look between them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import uuid_utils
from sqlalchemy import text

from pointsman_contract import keys
from pointsman_contract.dependencies import breakers_of
from pointsman_service.broker import Broker
from pointsman_service.dispatch.dispatcher import Dispatcher
from pointsman_service.dispatch.publisher import Publisher
from pointsman_service.dispatch.window import OpenWindow
from pointsman_service.reconcile.epochs import EpochSweep
from pointsman_service.record.recorder import Recorder
from pointsman_service.redis import RedisServer
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store
from pointsman_service.store.tasks.submitting import NewTask
from pointsman_service.submit.group_commit import GroupCommit

TASK = NewTask(
    id="",
    task_type="noop",
    queue="maintenance",
    priority=3,
    args="[]",
    kwargs="{}",
    tags=None,
    caller="local",
    scheduled_at=None,
    delay_seconds=None,
    expires_at=None,
    timeout_seconds=300.0,
    requested_timeout_seconds=None,
    sla_seconds=300.0,
    max_attempts=1,
    traceparent=None,
    key=None,
    fingerprint=None,
    sent_epoch=None,
)


def new_task(**changes: Any) -> NewTask:
    """A submission that passed every check."""
    return replace(TASK, **({"id": str(uuid_utils.uuid7())} | changes))


class Spine:
    """Every stage of one control plane, run by hand."""

    def __init__(self, store: Store, server: RedisServer, settings: Settings) -> None:
        self.store = store
        self.server = server
        self.settings = settings
        self.queues = [queue.name for queue in settings.topology.queues]
        self.broker = Broker(server, self.queues, settings.dispatch_memory_percent)
        self.publisher = Publisher(self.broker)
        self.window = OpenWindow(self.broker, settings)
        self.commits = GroupCommit(store, self.publisher, self.window, settings)
        self.dispatcher = Dispatcher(store, self.broker, self.publisher, settings)
        self.recorder = Recorder(store, server, settings)
        self.epochs = EpochSweep(store, server, settings)

    async def open_epoch(self) -> None:
        """Declare what must be declared and open it; the recorder keeps up meanwhile."""
        for _ in range(50):
            await self.epochs.single_pass()
            await self.recorder.single_pass()
            depths = await self.broker.depths()
            if depths.epoch is not None:
                await self.window.refresh()
                return
        raise AssertionError("the epoch did not open")

    async def record_all(self) -> None:
        """Record until the stream is read to its end."""
        while True:
            epoch = await self.server.command("HGET", keys.CONTROL, "epoch")
            entries = await self.server.command("XLEN", keys.events(int(epoch)))
            if not entries:
                return
            await self.recorder.single_pass()

    async def append(self, kind: str, task: str, **body: Any) -> None:
        """Append an event that belongs to no claim."""
        await self.server.script("append", [keys.CONTROL], [keys.EVENTS_PREFIX], [kind, task, json.dumps(body)])

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """Record while the block runs, as the recorder's own process does."""
        stop = asyncio.Event()
        recorder = asyncio.create_task(self.recorder.loop.run(stop))
        try:
            yield
        finally:
            stop.set()
            await recorder

    async def message(self, key: str) -> dict[str, Any] | None:
        """Take the next message of a list, as a consumer does."""
        raw = await self.server.command("RPOP", key)
        return None if raw is None else json.loads(raw)

    async def gate(self, message: dict[str, Any], token: str = "token", owner: str = "w@h") -> list[Any]:
        """What the gate says to a message."""
        headers = message["headers"]
        managed = headers["pointsman"]
        answer: list[Any] = await self.server.script(
            "gate",
            [keys.CONTROL, keys.claim(headers["id"]), keys.BREAKERS],
            [keys.EVENTS_PREFIX],
            [
                managed["epoch"],
                headers["id"],
                managed["after"],
                token,
                owner,
                managed["sent_at"],
                "" if managed["expires_at"] is None else managed["expires_at"],
                self.body(message, worker=owner),
                keys.CLAIM_SECONDS,
                keys.ASK_SECONDS,
                100_000,
                85,
                message["properties"]["delivery_info"]["routing_key"],
                "",
                *breakers_of(headers["task"], managed.get("dependencies", ())),
            ],
        )
        return answer

    async def report(
        self, message: dict[str, Any], verdict: list[Any], kind: str = "succeeded", token: str = "token", **more: Any
    ) -> list[Any]:
        """Report the outcome of an attempt that the gate let run; no circuit breaker hears of it."""
        outcome = {"started_at": float(verdict[3]), "run_seconds": 0.25} | more
        answer: list[Any] = await self.server.script(
            "report",
            [keys.CONTROL, keys.claim(message["headers"]["id"])],
            [keys.EVENTS_PREFIX],
            [
                message["headers"]["id"],
                int(verdict[1]),
                token,
                kind,
                self.body(message, **outcome),
                keys.CLAIM_SECONDS,
                "",
            ],
        )
        return answer

    async def tell(
        self,
        message: dict[str, Any],
        verdict: list[Any],
        blamed: str | None = None,
        error: str = "OSError",
        text: str = "",
    ) -> list[Any]:
        """Report an outcome as a worker does, to its circuit breakers too: a success, or a failure that one is blamed
        for. Another attempt follows at once.
        """
        headers = message["headers"]
        breakers = breakers_of(headers["task"], headers["pointsman"].get("dependencies", ()))
        epochs = [int(epoch) for epoch in verdict[4].split(b",")] if verdict[4] else [0] * len(breakers)
        told = dict(zip(breakers, epochs, strict=True))
        outcome: dict[str, Any] = {"started_at": float(verdict[3]), "run_seconds": 0.25, "breakers": told}
        said: list[Any] = ["success", *breakers]
        if blamed is not None:
            outcome |= {"error": {"type": error, "message": text, "traceback": ""}, "retry_in_seconds": 0.0}
            outcome |= {"blamed": [blamed], "error_classes": [error, "Exception"]}
            said = ["failure", f"{error}\nException", blamed, told.get(blamed, "")]
        kind = "succeeded" if blamed is None else "failed"
        answer: list[Any] = await self.server.script(
            "report",
            [keys.CONTROL, keys.claim(headers["id"]), keys.BREAKERS, keys.BREAKER_FAILURES],
            [keys.EVENTS_PREFIX],
            [
                headers["id"],
                int(verdict[1]),
                "token",
                kind,
                self.body(message, **outcome),
                keys.CLAIM_SECONDS,
                "",
                *said,
            ],
        )
        return answer

    def body(self, message: dict[str, Any], **more: Any) -> str:
        """The body of an event about a message."""
        queue = message["properties"]["delivery_info"]["routing_key"]
        managed = message["headers"]["pointsman"]
        named = {"task_type": message["headers"]["task"], "queue": queue, "worker": "w@h"}
        return json.dumps(named | {"dispatch": managed["dispatch"]} | more)

    async def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """What a query finds."""
        async with self.store.statement() as connection:
            return [dict(row) for row in (await connection.execute(text(sql), parameters)).mappings()]

    async def run(self, sql: str, **parameters: Any) -> None:
        """Do something to the database behind the service's back."""
        async with self.store.statement() as connection:
            await connection.execute(text(sql), parameters)

    async def counters(self) -> dict[str, int]:
        """The sums of TaskMetrics over everything, without zeros."""
        names = (
            "submitted started executions succeeded failed cancelled expired retried timed_out interrupted duplicates"
            " uncertain_sendings"
            " native sla_met sla_missed"
        )
        sums = ", ".join(f"sum({name})::int AS {name}" for name in names.split())
        (found,) = await self.rows(
            f"SELECT {sums} FROM (SELECT {names.replace(' ', ', ')} FROM task_metrics"
            f" UNION ALL SELECT {names.replace(' ', ', ')} FROM task_metrics_delta) AS every"
        )
        return {name: value for name, value in found.items() if value}
