"""``python -m pointsman_service.embedded.demo URL``: a day of the shop after the other, until stopped."""

import argparse
import contextlib
import random
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from pointsman_client.sync.client import Client
from pointsman_contract.configuration import DEMO_URL
from pointsman_service.embedded.demo.bank import Bank
from pointsman_service.embedded.demo.day import DAY_SECONDS, OPENS
from pointsman_service.embedded.demo.traffic import SUMMARY_SECONDS, Traffic, wait_for_workers
from pointsman_service.errors import ServiceError

_CALL_SECONDS = 10.0


class _Stopped(ServiceError):
    """SIGTERM or SIGINT arrived."""


def run(url: str, key: str | None, bank_port: int, per_second: float, tasks: str) -> None:
    """Play the shop and its bank until SIGTERM or SIGINT."""
    rng = random.Random()  # noqa: S311 - a mix of tasks, not a secret
    with Bank(bank_port) as bank, Client(url, key=key, timeout=_CALL_SECONDS) as client:
        words = f"POINTSMAN_TASK_MODULES={tasks} {DEMO_URL}={bank.url} ./scripts/celery_workers.sh start"
        wait_for_workers(client, rng, _say, words)
        _say(f"the shop is open: its day takes {DAY_SECONDS / 60:.0f} minutes, and it is {OPENS:02.0f}:00 now")
        traffic = Traffic(client, bank, per_second, rng, _say)
        began = summed_at = time.monotonic()
        while True:
            pause = traffic.single_pass(time.monotonic() - began)
            if time.monotonic() - summed_at >= SUMMARY_SECONDS:
                summed_at = time.monotonic()
                _say(f"answers: {traffic.take_summary()}")
            time.sleep(pause)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="demo", description="A shop to look at: submit tasks until stopped.")
    parser.add_argument("url", help="of the API, such as http://127.0.0.1:8000")
    parser.add_argument("--key-file", type=Path, help="with the key that it shows (default: POINTSMAN_API_KEY)")
    parser.add_argument("--bank-port", type=int, default=0, help="where its bank listens (default: any free port)")
    parser.add_argument("--tasks", default="pointsman.shipped.demo", help="the module of its tasks, as workers name it")
    parser.add_argument(
        "--per-second", type=float, default=5.0, help="submissions a second in the busiest hour (default 5)"
    )
    given = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    key = None if given.key_file is None else given.key_file.read_text(encoding="ascii").strip()
    with contextlib.suppress(_Stopped):
        run(given.url, key, given.bank_port, given.per_second, given.tasks)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stopped


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
