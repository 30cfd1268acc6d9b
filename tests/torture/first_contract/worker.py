"""``python -m tests.torture.first_contract.worker QUEUE...``: a worker of one process that speaks the first contract.

It takes messages from the queues' lists, asks its own gate, runs ``torture.effect``, reports with its own script, and
beats. A message it cannot run goes back.
"""

import base64
import json
import os
import secrets
import signal
import sys
import threading
import time
from importlib.resources import files
from typing import Any

import redis

from tests.torture.effects import note

_BEAT_SECONDS = 2.0
_CLAIM_SECONDS, _ASK_SECONDS = 600, 540
_LONGEST_STREAM, _MEMORY_PERCENT = 100_000, 85
_RUNS = "torture.effect"


class Worker:
    """Both connections, the script digests and what runs now."""

    def __init__(self, queues: list[str]) -> None:
        self._redis: Any = redis.Redis.from_url(os.environ["POINTSMAN_REDIS_URL"], decode_responses=True)
        self._run_id = self._redis.info("server")["run_id"]
        self._gate = self._redis.register_script(files(__package__).joinpath("gate.lua").read_text())
        self._report = self._redis.register_script(files(__package__).joinpath("report.lua").read_text())
        self._queues = queues
        self._lists = [f"{queue}\x06\x16{step}" if step else queue for step in range(10) for queue in queues]
        self.name = f"first-contract@{os.uname().nodename}"
        self._owner = f"{self.name}#{os.getpid()}.{time.time():.0f}"
        self._running: list[dict[str, Any]] = []
        self._counter = 0
        self._stop = threading.Event()

    def run(self) -> None:
        """Until SIGTERM."""
        signal.signal(signal.SIGTERM, lambda *_: self._stop.set())
        beats = threading.Thread(target=self._beat_on, daemon=True)
        beats.start()
        while not self._stop.is_set():
            taken = self._redis.brpop(self._lists, timeout=1)
            if taken is not None:
                self._one(*taken)
        beats.join()
        self._redis.hdel("pointsman:beats", self._owner)

    def _one(self, taken_from: str, raw: str) -> None:
        message = json.loads(raw)
        headers = message["headers"]
        if headers["task"] != _RUNS:
            self._redis.rpush(taken_from, raw)
            time.sleep(0.05)
            return
        task, header = headers["id"], headers["pointsman"]
        assert header["version"] == 1
        token = secrets.token_hex(16)
        queue = message["properties"]["delivery_info"]["routing_key"]
        started = {"task_type": _RUNS, "queue": queue, "worker": self._owner, "dispatch": header["dispatch"]}
        keys = ["pointsman:control", f"pointsman:claim:{task}"]
        expires_at = header["expires_at"]
        answer = ["wait"]
        while answer[0] == "wait":
            answer = self._gate(
                keys,
                [
                    *("pointsman:events:", self._run_id, header["epoch"], task, header["after"], token, self._owner),
                    *(repr(header["sent_at"]), "" if expires_at is None else repr(expires_at), json.dumps(started)),
                    *(_CLAIM_SECONDS, _ASK_SECONDS, _LONGEST_STREAM, _MEMORY_PERCENT),
                ],
            )
        if answer[0] != "run":
            return
        attempt, started_at = int(answer[1]), float(answer[3])
        self._running = [{"task": task, "attempt": attempt, "token": token}]
        args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
        began = time.monotonic()
        kind, ending = _effect(task, attempt, *args, **kwargs)
        outcome = started | {"started_at": started_at, "run_seconds": time.monotonic() - began} | ending
        body = json.dumps(outcome)
        self._report(keys, ["pointsman:events:", self._run_id, task, attempt, token, kind, body, _CLAIM_SECONDS])
        self._running = []

    def _beat_on(self) -> None:
        while not self._stop.is_set():
            self._counter += 1
            epoch, run_id = self._redis.hmget("pointsman:control", "epoch", "run_id")
            beat = {
                "name": self.name,
                "owner": self._owner,
                "pool": "first-contract",
                "queues": self._queues,
                "processes": 1,
                "pid": os.getpid(),
                "host": os.uname().nodename,
                "started_at": time.time(),
                "contract": 1,
                "counter": self._counter,
                "consuming": self._counter,
                "epoch": int(epoch) if epoch and run_id == self._run_id else 0,
                "running": list(self._running),
            }
            self._redis.hset("pointsman:beats", self._owner, json.dumps(beat))
            self._stop.wait(_BEAT_SECONDS)


def _effect(task: str, attempt: int, seconds: float = 0.0, fails: int = 0, how: str = "raise") -> tuple[str, Any]:
    """``tests.torture.tasks.effect``, and what a report says of it."""
    note("B", task, attempt)
    time.sleep(seconds)
    note("E", task, attempt)
    if attempt > fails:
        return "succeeded", {"result": str(attempt)}
    error = {"type": "ConnectionError", "message": f"attempt {attempt}", "traceback": ""}
    return "failed", {"error": error, "retry_in_seconds": 0.3 if how == "retry" else 0.0}


if __name__ == "__main__":
    Worker(sys.argv[1:]).run()
