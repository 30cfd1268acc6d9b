"""Each queue against its objective, over real rows."""

import httpx

from pointsman_service.api.metrics.sla import SlaMetricsView
from pointsman_service.api.queues.routes import QueueView
from tests.integration.spine import Spine, new_task


async def test_a_task_counts_as_missed_as_soon_as_it_is_and_once(api: httpx.AsyncClient, closed_spine: Spine) -> None:
    spine = closed_spine
    # Met and missed lately, and long ago.
    for days, met, missed in ((0, 95, 1), (10, 100, 0), (40, 0, 50)):
        await spine.run(
            "INSERT INTO task_metrics (minute, task_type, queue, sla_met, sla_missed) VALUES"
            " (date_trunc('minute', now() - make_interval(days => :days)), 'noop', 'email', :met, :missed)",
            days=days,
            met=met,
            missed=missed,
        )
    await spine.commits.write_batch([new_task(queue="email", sla_seconds=5.0) for _ in range(6)])
    rows = await spine.rows("SELECT id FROM task_live ORDER BY id")
    changes = {
        "due_at = now() - interval '60 seconds'": rows[0],
        "due_at = now() - interval '2 hours', place = 'sent'": rows[1],
        "due_at = now() - interval '60 seconds', held_wait_seconds = 57": rows[2],
        "due_at = now() - interval '60 seconds', attempt = 1": rows[3],
        "due_at = now() - interval '60 seconds', state = 'running', place = 'sent'": rows[4],
    }
    for change, row in changes.items():
        await spine.run(f"UPDATE task_live SET {change} WHERE id = :id", **row)

    answer = await api.get("/v1/metrics/sla")

    view = SlaMetricsView.model_validate_json(answer.content)
    assert view.recorded_up_to is not None
    email = next(one for one in view.items if one.queue == "email")
    assert (email.met, email.missed, email.missed_and_waiting) == (195, 1, 2)
    assert email.attainment == 195 / 198
    assert email.error_budget_left is not None
    assert round(email.error_budget_left, 3) == round(1 - (3 / 198) / 0.01, 3)
    assert {one.window_seconds: one.missed for one in email.burn} == {300: 2, 1800: 2, 3600: 2, 21_600: 3}
    day = SlaMetricsView.model_validate_json((await api.get("/v1/metrics/sla?window_seconds=86400")).content)
    assert [one.met for one in day.items if one.queue == "email"] == [95]

    shown = QueueView.model_validate_json((await api.get("/v1/queues/email")).content)
    assert shown.sla is not None
    assert (shown.sla.error_budget_left, shown.sla.objective) == (email.error_budget_left, 0.99)
