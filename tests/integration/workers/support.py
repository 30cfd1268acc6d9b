"""A control plane reduced to what a worker sees of one: an epoch, messages, the event stream."""

import base64
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import redis

from pointsman_contract.keys import BEATS, CONTROL, SEQUENCE, claim, events
from pointsman_contract.lua import source
from pointsman_contract.message import HEADER, VERSION, delivery_tag
from pointsman_contract.queues import list_key, step_of
from tests.stand.waiting import until_now


@dataclass(frozen=True)
class Event:
    """One entry of the stream."""

    kind: str
    task: str
    attempt: int
    late: bool
    body: dict[str, Any]


class ControlPlane:
    """Declares epochs, publishes messages, reads what workers report."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis: Any = redis.Redis.from_url(url, decode_responses=True, protocol=2)
        self.epoch = 0

    def run_id(self) -> str:
        """Of the server as it runs now."""
        return str(self.redis.info("server")["run_id"])

    def declare(self, epoch: int, opened: bool = True) -> None:
        """Begin an epoch."""
        assert self.redis.eval(source("declare"), 1, CONTROL, epoch, self.run_id()) == 1
        self.epoch = epoch
        if opened:
            self.open()

    def open(self) -> None:
        """End the census of the epoch."""
        assert self.redis.eval(source("open"), 1, CONTROL, self.epoch, self.run_id()) == 1

    def publish(
        self,
        task_type: str,
        *args: Any,
        queue: str = "maintenance",
        priority: int = 3,
        task: str | None = None,
        after: int = 0,
        max_attempts: int = 4,
        epoch: int | None = None,
        expires_at: float | None = None,
        timelimit: tuple[float | None, float | None] = (300, None),
        version: int = VERSION,
        dispatch: int = 1,
        age_seconds: float = 0.0,
        **kwargs: Any,
    ) -> str:
        """Send one managed message; its task id."""
        task = task or str(uuid4())
        step = step_of(priority)
        header = {
            "version": version,
            "epoch": self.epoch if epoch is None else epoch,
            "dispatch": dispatch,
            "after": after,
            "max_attempts": max_attempts,
            "expires_at": expires_at,
            "traceparent": None,
        }
        headers: dict[str, Any] = {
            "lang": "py",
            "task": task_type,
            "id": task,
            "shadow": None,
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": timelimit,
            "root_id": task,
            "parent_id": None,
            "argsrepr": "",
            "kwargsrepr": "",
            "origin": "pointsman",
            "ignore_result": True,
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
        }
        embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        body = base64.b64encode(json.dumps([args, kwargs, embed]).encode()).decode()
        rest = {
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "properties": {
                "correlation_id": task,
                "reply_to": "",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": step,
                "body_encoding": "base64",
                "delivery_tag": delivery_tag(task, dispatch),
            },
            "body": body,
        }
        head = json.dumps({"headers": headers})[:-2] + f', "{HEADER}": ' + json.dumps(header)[:-1] + ', "sequence": '
        tail = "}}, " + json.dumps(rest)[1:]
        key = list_key(queue, step)
        if age_seconds:
            sent_at = float(self.redis.time()[0]) - age_seconds
            self.redis.lpush(key, f'{head}1, "sent_at": {sent_at}{tail}')
            return task
        words = (CONTROL, SEQUENCE, self.epoch, self.run_id(), 70, key, head, tail)
        answer = self.redis.eval(source("publish"), 2, *words)
        assert answer[0] == "ok", answer
        return task

    def events(self, task: str | None = None, kind: str | None = None) -> list[Event]:
        """What the epoch's stream holds, oldest first."""
        found = [
            Event(entry["kind"], entry["task"], int(entry["attempt"]), entry["late"] == "1", json.loads(entry["body"]))
            for _, entry in self.redis.xrange(events(self.epoch))
        ]
        return [one for one in found if task in (None, one.task) and kind in (None, one.kind)]

    def kinds(self, task: str) -> list[str]:
        """The kinds of a task's events, oldest first."""
        return [event.kind for event in self.events(task)]

    def wait_for(self, task: str | None, kind: str) -> Event:
        """The first event of that kind."""
        return until_now(lambda: self.events(task, kind), f"{kind} of {task}: {self.events(task)}")[0]

    def claim(self, task: str) -> dict[str, str]:
        """The claim of a task."""
        return dict(self.redis.hgetall(claim(task)))

    def cancel(self, task: str, grace_seconds: float) -> None:
        """Ask the worker that runs a task to end it."""
        words = (CONTROL, claim(task), self.epoch, self.run_id(), grace_seconds)
        assert self.redis.eval(source("cancel"), 2, *words) == "running"

    def record_all(self) -> None:
        """Publish the position of a recorder that has read everything."""
        last = self.redis.xrevrange(events(self.epoch), count=1)
        self.redis.hset(CONTROL, "recorded", f"{self.epoch}/{last[0][0]}")

    def beats(self) -> list[dict[str, Any]]:
        """The last beat of every worker parent."""
        return [json.loads(beat) for beat in self.redis.hvals(BEATS)]

    def unacknowledged(self) -> int:
        """Messages that kombu would deliver again."""
        return int(self.redis.hlen("unacked"))
