"""Every page, in the order of the navigation. One that is not built is not in it."""

from collections.abc import Sequence
from typing import Final

from pointsman_service.callers import Caller, KnownBy
from pointsman_service.dashboard.alerts.page import page as alerts
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.audit.page import page as audit
from pointsman_service.dashboard.breakers.page import page as breakers
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.errors.page import page as errors
from pointsman_service.dashboard.keys.page import page as keys
from pointsman_service.dashboard.now.page import page as now
from pointsman_service.dashboard.page import Hit, Page, View
from pointsman_service.dashboard.queues.page import page as queues
from pointsman_service.dashboard.shared.page import page as shared
from pointsman_service.dashboard.tasks.page import page as tasks
from pointsman_service.dashboard.types.page import page as types
from pointsman_service.dashboard.workers.page import page as workers

PAGES: Final[tuple[Page, ...]] = (now, tasks, errors, queues, types, workers, breakers, alerts, keys, audit, shared)
_MOST_HITS = 50

_help = Page("help", "", question="Help")
_search = Page("search", "", question="Search")
SEARCH: Final = (_help, _search)


def in_navigation(pages: Sequence[Page], caller: Caller) -> list[Page]:
    """Those that have a place there, and that this caller may see."""
    return [page for page in pages if page.label and may_see(caller, page)]


def may_see(caller: Caller, page: Page) -> bool:
    """Whether a caller may see a page."""
    if caller.known_by is KnownBy.LINK:
        return False
    return caller.scopes is None or page.reads is None or (page.reads in caller.scopes and not caller.is_narrowed)


@_help.shows()
async def show_help(_: Ask) -> View:
    """What pages there are, and the keys."""
    return View(template="help.html", title="")


@_search.shows()
async def search(ask: Ask) -> View:
    """What each page finds. An id leads to what it is of."""
    sought = ask.query.get("q", "")
    hits: list[Hit] = []
    if sought:
        for page in PAGES:
            if page.finder is not None and len(hits) < _MOST_HITS and may_see(ask.caller, page):
                hits += await page.finder(ask, sought)
        if len(hits) == 1 and hits[0].is_it:
            return View(template="search.html", title="", instead=hits[0].path)
    kept = some(round(ask.parts.settings.retention_days), "day")
    return View(template="search.html", title="", values={"sought": sought, "hits": hits[:_MOST_HITS], "kept": kept})
