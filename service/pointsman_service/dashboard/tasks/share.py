"""Share one task: a link that opens it for whoever has it."""

from typing import Final
from uuid import UUID

from pointsman_service.access.links import PARAMETER
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.durations import duration
from pointsman_service.dashboard.page import View
from pointsman_service.dashboard.tasks.here import page
from pointsman_service.dashboard.tasks.one import found, head_of
from pointsman_service.operate.act import ActKind
from pointsman_service.operate.share import SharedLink

_LASTS: Final = (900.0, 3600.0, 8 * 3600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0)


@page.shows("{task_id:uuid}/share")
async def ask_to_share(ask: Ask) -> View:
    """What a link opens, and for how long."""
    return await _shown(ask, None)


@page.acts("{task_id:uuid}/share", ActKind.SHARE)
async def share(ask: Ask) -> View:
    """Make a link, and show it this once."""
    task_id: UUID = ask.names["task_id"]
    seconds = float(ask.chosen_of_form("lasts", _lasts(ask)))
    payloads = ask.form.get("payload") == "yes"
    reason = ask.reason("in the dashboard")
    return await _shown(ask, await ask.parts.sharer.share(ask.caller, task_id, seconds, reason, payloads=payloads))


async def _shown(ask: Ask, link: SharedLink | None) -> View:
    seen, unknown = await found(ask)
    if seen is None:
        return unknown
    path = None if link is None else f"shared/{seen.task.id}?{PARAMETER}={link.text}"
    return View(
        template="tasks/share.html",
        title="shared" if link else f"share {seen.task.task_type}",
        says="The link is made. It is shown this once." if link else "",
        values=head_of(ask, seen)
        | {
            "link": link,
            "href": None if path is None else ask.links.to(path),
            "url": None if path is None else f"{ask.root}/{path}",
            "lasts": _lasts(ask),
        },
        status=200 if link is None else 201,
    )


def _lasts(ask: Ask) -> dict[str, str]:
    most = ask.parts.sharer.most_seconds
    return {f"{one:g}": duration(one) for one in sorted({min(one, most) for one in _LASTS})}
