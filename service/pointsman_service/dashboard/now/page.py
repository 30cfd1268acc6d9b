"""The first page."""

from typing import Final
from urllib.parse import quote

from pointsman_service.access.scopes import KeyScope
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.figures import some
from pointsman_service.dashboard.now.offers import offer_of
from pointsman_service.dashboard.page import Page, View
from pointsman_service.now.picture import Cause, Now, Overall, QueueState, Urgency, said
from pointsman_service.now.words import NOTHING_TO_DO, failure

page = Page(
    "",
    "Now",
    key="n",
    question="What is wrong, what does it do to whom, is anything being done, what can I do?",
    own_times=True,
    reads=KeyScope.METRICS_READ,
)

QUEUE_TONES: Final = {
    QueueState.UNKNOWN: "unknown",
    QueueState.PAUSED: "held",
    QueueState.NO_WORKER: "bad",
    QueueState.LATE: "bad",
    QueueState.AT_RISK: "warn",
    QueueState.HELD: "held",
    QueueState.OK: "ok",
}
CAUSE_TONES: Final = {Urgency.PAGE: "bad", Urgency.TICKET: "warn", Urgency.NOTICE: "held"}


@page.shows()
async def show(ask: Ask) -> View:
    """What is wrong now."""
    now = await ask.parts.now.read(reads_payloads=ask.caller.reads_payloads)
    return View(
        template="now/now.html",
        title=_title(now),
        says=now.sentence,
        as_of=now.as_of,
        recorded_up_to=now.recorded_up_to,
        missing=[one.why for one in now.unknown],
        values={
            "picture": now,
            "cause_id": _id,
            "origin": ask.parts.settings.alert_base_url
            or f"http://{ask.parts.settings.host}:{ask.parts.settings.port}",
            "tone_of_cause": _tone,
            "offer_of": offer_of,
            "tells_error": _tells_error,
            "tells_since": _tells_since,
            "queue_tones": QUEUE_TONES,
            "old": next((one.since or now.as_of for one in now.unknown if one.what == "database"), None),
            "teaches": _teaches(ask, now),
        },
    )


def _tone(cause: Cause) -> str:
    """Red is only where somebody must act: what is over is not."""
    is_over = any(one.text == NOTHING_TO_DO for one in cause.remedies)
    return "ok" if is_over else CAUSE_TONES[cause.severity]


def _title(now: Now) -> str:
    wrong = sum(cause.severity is not Urgency.NOTICE for cause in now.causes)
    if wrong:
        return some(wrong, "cause")
    return "all is well" if now.verdict is Overall.HEALTHY else "not all is known"


def _id(cause: Cause) -> str:
    """The same for the same cause each time."""
    return f"cause-{cause.kind}-{quote(cause.subject, safe='')}"


def _tells_since(cause: Cause) -> bool:
    """Whether its sentence says since when."""
    return " since " in said(cause.parts)


def _tells_error(cause: Cause) -> bool:
    """Whether its sentence says what the error is."""
    error = cause.error
    return error is not None and failure(error.type, error.message) in said(cause.parts)


def _teaches(ask: Ask, now: Now) -> str | None:
    """What an installation that does nothing yet needs next."""
    if (
        now.causes
        or now.unknown
        or now.last_hour is None
        or now.last_hour.tasks
        or any(line.waiting for line in now.queues)
    ):
        return None
    return "submit" if ask.parts.catalogue.places(ask.parts.settings) else "work"
