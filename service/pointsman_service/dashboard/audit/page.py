"""Audit: who did what, to what, when and why."""

from typing import Final

from pointsman_service.access.scopes import KeyScope
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.audit.counted import counted
from pointsman_service.dashboard.components.figures import label
from pointsman_service.dashboard.page import Page, View
from pointsman_service.now.changes import what_of
from pointsman_service.observe.audit import wanted
from pointsman_service.operate.act import BY_PROGRAMS, ActKind

page = Page("audit", "Audit", key="u", question="Who did what, and why?", reads=KeyScope.AUDIT_READ)

_ACTS: Final = {str(kind): label(kind) for kind in ActKind if kind not in BY_PROGRAMS}
_WORDS: Final = ("caller", "subject")
_ON_A_PAGE: Final = 50


@page.shows()
async def show_list(ask: Ask) -> View:
    """Entries, a page at a time."""
    act = ask.chosen("act", _ACTS)
    chosen = {"act": act} | {name: ask.chosen(name) for name in _WORDS}
    cursor = ask.chosen("cursor")
    below = int(cursor) if cursor is not None and cursor.isascii() and cursor.isdigit() and len(cursor) < 19 else None
    found = await ask.parts.acts_done.page(
        wanted(act=act, caller=chosen["caller"], subject=chosen["subject"], below=below), _ON_A_PAGE
    )
    about = await ask.parts.acts_done.about(found.items)
    reads = ask.caller.reads_payloads
    return View(
        template="audit/list.html",
        title="",
        values={
            "entries": [
                (
                    one,
                    what_of(one.act, one.subject, about.get(one.id), reads_payloads=reads),
                    counted(one.act, one.counts),
                )
                for one in found.items
            ],
            "first": None if below is None else ask.links("audit", **chosen),
            "following": None if found.following is None else ask.links("audit", **chosen, cursor=found.following),
            "acts": _ACTS,
            "chosen": chosen,
            "chips": [
                (_ACTS.get(value, value) if name == "act" else f"{name} {value}", _without(ask, chosen, name))
                for name, value in chosen.items()
                if value
            ],
            "filtered": any(chosen.values()),
        },
    )


def _without(ask: Ask, chosen: dict[str, str | None], name: str) -> str:
    return ask.links("audit", **(chosen | {name: None}))
