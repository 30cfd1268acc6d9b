"""Groups of errors in every standing, with tasks that failed so, for whoever looks at them."""

from typing import Any
from uuid import UUID, uuid4

from tests.browser.filling_tasks import TRACEBACK, put_failed
from tests.browser.site import Site

BANK = "dependency:api.bank.example"


async def put_group(site: Site, *, occurrences: int = 31, tasks: int = 2, ago: float = 240.0, **columns: Any) -> UUID:
    """A group that was first seen so many seconds ago and has failed since then; its id."""
    group_id = uuid4()
    given: dict[str, Any] = {
        "id": group_id, "version": 1, "task_type": "shop.charge", "error_type": "KeyError", "message": "<text>",
        "occurrences": occurrences, "tasks": tasks, "example_task_id": uuid4(), "example_attempt": 2,
        "example_message": "'price_cents'", "example_traceback": TRACEBACK, "recent_task_ids": [],
    } | columns  # fmt: skip
    moments = {"first_seen_at": ago, "last_seen_at": 5.0, "changed_at": min(ago, 3600.0)}
    for name in ("set", "ignored_until"):
        if name in given:
            moments[name if name == "ignored_until" else "set_at"] = given.pop(name)
    values = [f":{name}" for name in given]
    values += [f"now() - CAST(:{name} AS float8) * interval '1 second'" for name in moments]
    await site.run(
        f"INSERT INTO error_group ({', '.join([*given, *moments])}) VALUES ({', '.join(values)})", **given, **moments
    )
    for step, unit in ((60, "minute"), (3600, "hour"), (86_400, "day")):
        await site.run(
            "INSERT INTO error_count (error_group, step_seconds, since, queue, occurrences, tasks)"
            " VALUES (:id, :step, date_trunc(:unit, now(), 'UTC'), 'reports', :occurrences, :tasks)",
            id=group_id, step=step, unit=unit, occurrences=occurrences, tasks=tasks,
        )  # fmt: skip
    return group_id


async def put_victims(site: Site, group_id: UUID, number: int) -> list[UUID]:
    """Tasks that failed so for good."""
    return [await put_failed(site, error_group=group_id) for _ in range(number)]


async def fill_errors(site: Site) -> None:
    """A new one, one that is back again, one that is resolved and one that is ignored."""
    new = await put_group(site)
    victims = await put_victims(site, new, 2)
    await site.run(
        "UPDATE error_group SET recent_task_ids = :ids, example_task_id = :first WHERE id = :id",
        ids=victims, first=victims[0], id=new,
    )  # fmt: skip
    back = await put_group(
        site, error_type="httpx.ConnectTimeout", message="no answer from <host> within <n> s", blamed=BANK,
        ago=90_000.0, came_back=True, set=7200.0, set_by="ada", set_reason="they have a new address", occurrences=412,
        tasks=0, task_type="shop.remind",
    )  # fmt: skip
    await site.run(
        "INSERT INTO error_group_change (error_group, before, after, actor, reason) VALUES"
        " (:id, 'open', 'resolved', 'ada', 'they have a new address'),"
        " (:id, 'resolved', 'open', 'pointsman', 'it failed this way again')",
        id=back,
    )
    judged: dict[str, Any] = {"ago": 200_000.0, "set": 600.0}
    await put_group(site, error_type="ValueError", state="resolved", set_by="ops", set_reason="in 2.4.1", **judged)
    await put_group(
        site, error_type="TimeoutError", state="ignored", set_by="ops", set_reason="their maintenance",
        ignored_per_hour=100, ignored_until=-7200.0, **judged,
    )  # fmt: skip
