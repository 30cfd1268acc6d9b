"""Every page of the dashboard as a path, for tests that hold of all of them. A new page adds its own."""

from tests.browser.site import Site

FIXED = (
    "", "help", "search", "search?q=nothing-of-this-name", "alerts", "alerts?severity=page&known=no", "tasks",
    "tasks?state=failed&sort=finished&tag=tenant:42&sate=x", "tasks?queue=reports&attempts_at_least=0",
    "errors", "errors?state=ignored&window=week&order=most", "errors?task_type=no-such", "breakers",
    "breakers?scope=worker&window=hour", "breakers/dependency/api.bank.example", "breakers/dependency/never-seen",
    "breakers/dependency/api.bank.example/policy", "tasks/acts", "tasks/many/cancel?queue=reports", "tasks/no-id",
    "queues", "queues/reports", "queues/reports/purge", "queues/set-aside/messages", "types",
    "types?q=nothing-has-this", "workers", "keys", "audit", "audit?act=pause_queue&caller=nobody", "sign-in",
)  # fmt: skip
_ONE_TASK = {
    "failed": ("", "/again"),
    "running": ("", "/logs", "/cancel"),
    "held": ("",),
    "scheduled": ("/change", "/share"),
}
"""Pages of a task in that state."""


async def paths_of(site: Site) -> list[str]:
    """Those of this installation: lists, and one of each thing that it has."""
    found = list(FIXED)
    found += [f"alerts/{row.id}" for row in await site.run("SELECT id FROM alert ORDER BY id LIMIT 1")]
    for state, pages in _ONE_TASK.items():
        table = "task" if state == "failed" else "task_live"
        for row in await site.run(f"SELECT id FROM {table} WHERE state = :state ORDER BY id LIMIT 1", state=state):
            found += [f"tasks/{row.id}{page}" for page in pages] + [f"shared/{row.id}"]
    found += [f"errors/{row.id}" for row in await site.run("SELECT id FROM error_group ORDER BY changed_at LIMIT 2")]
    for row in await site.run("SELECT name FROM task_type WHERE name = 'shop.ship'"):
        found += [f"types/{row.name}{page}" for page in ("", "/submit", "/submit?as=json")]
    found += [f"workers/{row.name}" for row in await site.run("SELECT name FROM worker ORDER BY name DESC LIMIT 1")]
    found += [f"keys/{row.id}" for row in await site.run("SELECT id FROM api_key ORDER BY id LIMIT 1")]
    found += [f"tasks/acts/{row.id}" for row in await site.run("SELECT id FROM replay ORDER BY id LIMIT 1")]
    return found
