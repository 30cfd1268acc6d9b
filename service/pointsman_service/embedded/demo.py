"""A stream of tasks to look at: ``python -m pointsman_service.embedded.demo URL [--per-second N]``, until stopped."""

import argparse
import contextlib
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import httpx

from pointsman_contract.backoff import backoff_seconds
from pointsman_service.errors import ServiceError

_SUMMARY_SECONDS = 30.0
_LONGEST_WAIT_SECONDS = 15.0

Submission = dict[str, Any]
_MIX: tuple[tuple[int, Callable[[random.Random], Submission]], ...] = (
    (30, lambda rng: {"task_type": "noop", "priority": rng.randint(0, 10)}),
    (20, lambda rng: {"task_type": "echo", "args": [f"hello {rng.randint(1, 999)}"]}),
    (14, lambda rng: {"task_type": "sleep", "kwargs": {"seconds": round(rng.expovariate(4), 3)}, "queue": "email"}),
    (10, lambda rng: {"task_type": "sleep", "kwargs": {"seconds": round(rng.random() * 2, 3)}, "queue": "reports"}),
    (8, lambda rng: {"task_type": "sleep", "kwargs": {"seconds": round(rng.random() / 9, 3)}, "queue": "critical"}),
    (8, lambda rng: {"task_type": "noop", "queue": "maintenance", "delay_seconds": rng.randint(2, 60)}),
    (6, lambda rng: {"task_type": "echo", "args": ["later"], "delay_seconds": rng.randint(5, 30)}),
    (2, lambda rng: {"task_type": "fail", "kwargs": {"message": f"timeout {rng.randint(1, 3)}"}}),
    (2, lambda _: {"task_type": "fail", "kwargs": {"message": "card declined", "permanent": True}}),
)  # fmt: skip
"""Weights, and what is submitted."""


class _Stopped(ServiceError):
    """SIGTERM or SIGINT arrived."""


def next_submission(rng: random.Random) -> Submission:
    """One submission of the mix, tagged ``demo``."""
    weights = [weight for weight, _ in _MIX]
    make = rng.choices([make for _, make in _MIX], weights)[0]
    return {**make(rng), "tags": {"source": "demo"}}


def wait_after(response: httpx.Response | None, failures: int, rng: random.Random) -> float:
    """Seconds to hold back after a refusal: what Retry-After asks for, else exponential with jitter, at most 15."""
    asked = response.headers.get("Retry-After", "") if response is not None else ""
    if asked.isdigit():
        return min(_LONGEST_WAIT_SECONDS, float(asked) + rng.random())
    return backoff_seconds(failures, base=1.0, cap=_LONGEST_WAIT_SECONDS, jitter=0.5, draw=rng.random)


def run(url: str, per_second: float) -> None:
    """Submit until SIGTERM or SIGINT. A service that is away or refuses only slows it down."""
    rng = random.Random()  # noqa: S311 - a mix of tasks, not a secret
    answers: Counter[str] = Counter()
    failures = 0
    summary_at = time.monotonic() + _SUMMARY_SECONDS
    # trust_env: a proxy of the user must not stand between this machine and itself.
    with httpx.Client(base_url=url, timeout=10, trust_env=False) as client:
        while True:
            response: httpx.Response | None = None
            try:
                response = client.post("/v1/tasks", json=next_submission(rng))
                answer = str(response.status_code)
            except httpx.HTTPError as error:
                answer = type(error).__name__
            if answer == "202":
                failures = 0
                pause = rng.expovariate(per_second)
            else:
                failures += 1
                pause = wait_after(response, failures, rng)
                if answers[answer] == 0:
                    _say(f"refused: {answer} {response.text[:200] if response is not None else ''}")
            answers[answer] += 1
            if time.monotonic() >= summary_at:
                _say("submitted " + ", ".join(f"{count} x {answer}" for answer, count in answers.most_common()))
                summary_at = time.monotonic() + _SUMMARY_SECONDS
            time.sleep(pause)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="demo", description="Submit a mix of demo tasks until stopped.")
    parser.add_argument("url", help="of the API, such as http://127.0.0.1:8000")
    parser.add_argument("--per-second", type=float, default=4.0, help="submissions a second on average (default 4)")
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    with contextlib.suppress(_Stopped):
        run(given.url, given.per_second)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stopped


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
