"""What happens while the pictures are drawn: a calm shop, an error that comes back, a bank that fails and is mended."""

import asyncio
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from pointsman_service.embedded.demo.day import Turn
from pointsman_service.embedded.demo.orders import PRICED
from pointsman_service.store.store import Store
from tests.pictures import past
from tests.pictures.album import Album
from tests.pictures.installation import Installation, submit
from tests.stand.environment import inherited

BANK: Final = "api.bank.example"
CHARGE: Final = "shop.charge"
_HELD: Final = 20
_TERMINAL_COLUMNS: Final = "100"
NAMES: Final = (
    "now-well", "now", "terminal", "breaker", "breakers", "errors", "error", "task-failed", "tasks-held", "task-held",
    "queues", "queue", "alerts", "alert", "tasks", "task", "logs", "workers", "worker", "types", "type", "submit",
    "purge", "help", "breaker-closed", "replay", "act", "acts", "now-mended", "keys", "audit", "sign-in",
)  # fmt: skip
"""The pages, in the order in which they are drawn."""


async def play(site: Installation, album: Album) -> None:
    """All of it. An ``AssertionError`` where something does not come about."""
    await _calm(site, album)
    await _error_that_comes_back(site)
    await _bank_fails(site)
    await _draw_incident(site, album)
    await _draw_the_rest(site, album)
    await _mend(site, album)


async def _calm(site: Installation, album: Album) -> None:
    engine = create_async_engine(site.run.database_url, poolclass=NullPool)
    store = Store(engine)
    await past.fill(store, random.Random(7))
    await store.close()
    # What 30 days came to is asked once a minute.
    await _until(site, lambda: _budget(site) is not None, "its past to be summed up")
    await asyncio.to_thread(site.begin_traffic)
    for customer in (4101, 4102):
        await asyncio.to_thread(_statement, site, customer, 6)
    await _until(site, lambda: _ended(site, "shop.write_statement") and _ended(site, CHARGE), "a first statement")
    await _until(site, lambda: site.ask("/v1/now")["verdict"] == "healthy", "all to be well")
    await album.draw("now-well", "")


async def _error_that_comes_back(site: Installation) -> None:
    """New, resolved, and back again."""
    await _until(site, lambda: _group(site, PRICED, Turn.PRICES_GO_MISSING), "orders without prices to fail")
    await _take(site, Turn.PRICES_ARE_BACK)
    await _until(site, lambda: not _waiting(site), "them to end")
    await _take(site, Turn.ERROR_IS_RESOLVED)
    assert _open(site, PRICED) == []
    await _take(site, Turn.PRICES_GO_MISSING)
    await _until(site, lambda: any(one["back_again"] for one in _open(site, PRICED)), "the error to be back again")
    await _take(site, Turn.PRICES_ARE_BACK)


async def _bank_fails(site: Installation) -> None:
    await _take(site, Turn.BANK_FAILS)
    await _until(site, lambda: _failing(site) and _failing(site)["held"] >= _HELD, f"{_HELD} tasks to be held")
    await _until(site, lambda: site.ask("/v1/alerts", state="open")["items"], "an alert of it")


async def _draw_incident(site: Installation, album: Album) -> None:
    (group,) = _open(site, CHARGE)
    await album.draw("now", "")
    album.write("terminal", await asyncio.to_thread(_terminal, site))
    await album.draw("breaker", f"breakers/dependency/{BANK}")
    await album.draw("breakers", "breakers")
    await album.draw("errors", "errors")
    await album.draw("error", f"errors/{group['id']}")
    await album.draw("task-failed", f"tasks/{group['example']['task_id']}")
    await album.draw("tasks-held", f"tasks?{urlencode({'state': 'held', 'task_type': CHARGE})}")
    await album.draw("task-held", f"tasks/{_newest(site, state='held')}")
    await album.draw("queues", "queues")
    await album.draw("queue", "queues/external_api")
    await album.draw("alerts", "alerts")
    await album.draw("alert", f"alerts/{site.ask('/v1/alerts', state='open')['items'][0]['id']}")


async def _draw_the_rest(site: Installation, album: Album) -> None:
    running = await asyncio.to_thread(_statement, site, 4104, 60)
    await _until(site, lambda: _pages(site, running) >= 4, "a statement to be under way")
    await album.draw("tasks", "tasks")
    await album.draw("task", f"tasks/{running}")
    await album.draw("logs", f"tasks/{running}/logs")
    await album.draw("workers", "workers")
    reports = next(one["name"] for one in site.ask("/v1/workers")["items"] if one["name"].startswith("reports@"))
    await album.draw("worker", f"workers/{reports}")
    await album.draw("types", "types")
    await album.draw("type", f"types/{CHARGE}")
    await album.draw("submit", f"types/{CHARGE}/submit")
    await album.draw("purge", "queues/reports/purge")
    await album.draw("help", "help")


async def _mend(site: Installation, album: Album) -> None:
    await _take(site, Turn.BANK_IS_BACK)
    await _until(site, lambda: _breaker(site)["state"] == "closed", "the breaker to close")
    await _until(site, lambda: not site.ask("/v1/tasks", state="held")["items"], "what was held to go on")
    await album.draw("breaker-closed", f"breakers/dependency/{BANK}")
    (group,) = _open(site, CHARGE)
    await album.draw("replay", await album.link(f"errors/{group['id']}", "Run its victims again"))
    act = site.post("/v1/tasks/retry", error_group=group["id"], reason="the bank is back")
    await _until(site, lambda: not _failed(site, group["id"]), "its victims to run again")
    await album.draw("act", f"tasks/acts/{act['id']}")
    await album.draw("acts", "tasks/acts")
    await album.draw("now-mended", "")
    for name, preset in (("billing", "submitter"), ("ada", "operator"), ("wall", "viewer")):
        site.post("/v1/keys", name=name, preset=preset, expires_in_seconds=90 * 86_400, reason="each has its own")
    await album.draw("keys", "keys")
    await album.draw("audit", "audit")
    await album.draw("sign-in", "sign-in")


async def _until(site: Installation, seen: Callable[[], Any], what: str) -> Any:
    return await asyncio.to_thread(site.until, seen, what)


async def _take(site: Installation, turn: Turn) -> None:
    await asyncio.to_thread(site.traffic.take, turn)


def _statement(site: Installation, customer: int, pages: int) -> str:
    tags = {"source": "demo", "from": "back-office", "tenant": "42"}
    return submit(site, "shop.write_statement", kwargs={"customer": customer, "pages": pages}, tags=tags)


def _group(site: Installation, task_type: str, turn: Turn) -> list[Any]:
    # Once more each time: they are chance among others.
    site.traffic.take(turn)
    return _open(site, task_type)


def _open(site: Installation, task_type: str) -> list[Any]:
    found: list[Any] = site.ask("/v1/errors", task_type=task_type, state="open")["items"]
    return found


def _waiting(site: Installation) -> list[Any]:
    found: list[Any] = site.ask("/v1/tasks", task_type=PRICED, state="retrying")["items"]
    return found


def _ended(site: Installation, task_type: str) -> list[Any]:
    found: list[Any] = site.ask("/v1/tasks", task_type=task_type, state="succeeded")["items"]
    return found


def _newest(site: Installation, **narrowed: str) -> str:
    return str(site.ask("/v1/tasks", limit=1, **narrowed)["items"][0]["id"])


def _pages(site: Installation, statement: str) -> int:
    """How many of a statement are written."""
    progress = site.ask(f"/v1/tasks/{statement}")["progress"]
    return int(progress["current"]) if progress else 0


def _failing(site: Installation) -> Any:
    return next((one for one in site.ask("/v1/now")["breakers"] if one["name"] == BANK and one["error"]), None)


def _budget(site: Installation) -> Any:
    sla = site.ask("/v1/queues/external_api")["sla"]
    return sla and sla["error_budget_left"]


def _breaker(site: Installation) -> Any:
    return site.ask(f"/v1/breakers/dependency/{BANK}")


def _failed(site: Installation, group_id: str) -> list[Any]:
    found: list[Any] = site.ask("/v1/tasks", error_group=group_id, state="failed", replayed="false")["items"]
    return found


def _terminal(site: Installation) -> str:
    environment = inherited() | {"COLUMNS": _TERMINAL_COLUMNS, "LANG": "C.UTF-8", "POINTSMAN_URL": site.run.api_url}
    words = [sys.executable, "-m", "pointsman_client", "top", "--once"]
    shown = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    # So that it says the same wherever it is drawn.
    return shown.stdout.replace(site.run.api_url, "http://127.0.0.1:8000")
