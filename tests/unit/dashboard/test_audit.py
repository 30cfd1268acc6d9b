from typing import Any

import pytest

from pointsman_service.dashboard.audit.counted import counted


@pytest.mark.parametrize(
    ("act", "counts", "said"),
    [
        ("replay_dead_letters", {"before": 7, "after": 0, "tasks": 7}, "7 failed tasks → 0 left"),
        ("replay_dead_letters", {"before": 1, "after": 1, "tasks": 0}, "1 failed task → 1 left"),
        ("cancel_tasks", {"before": 2000, "after": 0, "is_least": True}, "at least 2,000 tasks → 0 left"),
        ("purge_queue", {"before": 12_000, "after": 3}, "12,000 waiting tasks → 3 left"),
        ("silence_alert", {"before": 0, "after": 1}, "0 silences → 1"),
        ("rotate_key", {"before": 1, "after": 2, "made": "k"}, "1 live key → 2"),
        ("of_another_release", {"before": 4, "after": 5}, "4 → 5"),
        ("resolve_error", {"before": "open", "after": "resolved"}, "open → resolved"),
        ("stop_task_act", {"before": "walking", "after": "done", "tasks": 1}, "walking → done, 1 task"),
        ("share_task", {"before": None, "after": {"payload": False, "seconds": 3600}}, "payload no, seconds 3,600"),
        (
            "limit_key",
            {"before": {"burst": 20, "quota": 7}, "after": {"burst": 20, "rate": "100/60s"}},
            "quota 7 → \N{EN DASH}, rate \N{EN DASH} → 100/60s",
        ),
        ("pause_queue", None, ""),
        ("share_task", {"before": None, "after": {"payload": False, "seconds": 3600.0}}, "payload no, seconds 3,600"),
    ],
)
def test_what_an_act_changed_is_said_with_what_was_counted(act: str, counts: dict[str, Any] | None, said: str) -> None:
    assert counted(act, counts) == said
