"""A plain Celery program beside Pointsman: sends tasks with Celery's own API and prints what came back as JSON."""

import json

from celery import chain, chord, group

from tests.stand.ledger_tasks import add, total

_SECONDS = 180


def main() -> None:
    """Run each of Celery's ways to compose tasks once."""
    sent = add.delay(1, 2)
    results = {
        "delay": sent.get(timeout=_SECONDS),
        "chain": chain(add.s(1, 2), add.s(10), add.s(100)).delay().get(timeout=_SECONDS),
        "group": group(add.s(n, n) for n in range(4)).delay().get(timeout=_SECONDS),
        "chord": chord((add.s(n, 1) for n in range(3)), total.s()).delay().get(timeout=_SECONDS),
        "urgent": add.apply_async((4, 5), queue="critical", priority=10).get(timeout=_SECONDS),
        "first_id": sent.id,
    }
    print(json.dumps(results))  # noqa: T201 - its parent reads it


if __name__ == "__main__":
    main()
