"""Messages that nobody could run: look at them, discard them."""

import re
from collections.abc import Sequence
from typing import Final

from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.components.prose import ended
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, View
from pointsman_service.dashboard.queues.here import page
from pointsman_service.dashboard.queues.rows import Row
from pointsman_service.errors import ExpectedFault, FieldError, InvalidRequest
from pointsman_service.observe import set_aside
from pointsman_service.observe.broker_state import ANSWER_SECONDS
from pointsman_service.observe.kept import NotInTime, within
from pointsman_service.observe.set_aside import MOST_SHOWN, SetAsideMessage
from pointsman_service.operate.act import ActKind

WORD: Final = "discard"
_ON_A_PAGE: Final = 20
_ID: Final = re.compile(r"[0-9]{1,18}-[0-9]{1,18}")


@page.shows("set-aside/messages")
async def show_messages(ask: Ask) -> View:
    """The newest of all queues."""
    before = _id(ask.query.get("cursor"))
    found = await _read(ask, _ON_A_PAGE + 1, before)
    shown = [] if found is None else found[:_ON_A_PAGE]
    more = found is not None and len(found) > _ON_A_PAGE
    state = await ask.parts.views.broker.state()
    counts = None if state.set_aside is None else {name: one.open for name, one in state.set_aside.items() if one.open}
    return View(
        template="queues/set_aside.html",
        title="not known now" if found is None else f"{sum((counts or {}).values())} set aside",
        missing=["Redis does not answer: what was set aside is not known now."] if found is None else (),
        values={
            "messages": shown,
            "known": found is not None,
            "counts": counts,
            "first": None if before is None else ask.links("queues", "set-aside", "messages"),
            "following": ask.links("queues", "set-aside", "messages", cursor=shown[-1].id) if more else None,
            "reads": ask.caller.reads_payloads,
            "word": WORD,
        },
    )


@page.acts("set-aside/messages", ActKind.DISCARD)
async def discard(ask: Ask) -> Done:
    """Those up to the newest that was shown. Later ones stay."""
    ask.confirmed(WORD)
    reason = ask.reason()
    through = _id(ask.form.get("through"))
    if through is None:
        raise InvalidRequest(errors=[FieldError(pointer="/through", detail="look at them first")])
    done = await ask.parts.discarder.discard(ask.caller, through, reason)
    left = f" {some(done.left, 'message')} came later and {'stays' if done.left == 1 else 'stay'}." if done.left else ""
    return Done(
        text=f"{some(done.discarded, 'message')} discarded: {ended(reason)}{left}",
        path=place("queues", "set-aside", "messages"),
    )


async def newest_of(ask: Ask, row: Row, most: int) -> Sequence[SetAsideMessage]:
    """Of one queue, among the newest of all."""
    if not row.figures.set_aside:
        return ()
    found = await _read(ask, MOST_SHOWN, None) or ()
    return [one for one in found if one.queue == row.name][:most]


async def _read(ask: Ask, most: int, before: str | None) -> list[SetAsideMessage] | None:
    """None: Redis does not answer."""
    try:
        return await within(ANSWER_SECONDS, set_aside.newest(ask.parts.server, most, before))
    except (ExpectedFault, NotInTime):
        return None


def _id(text: str | None) -> str | None:
    return text if text and _ID.fullmatch(text) else None
