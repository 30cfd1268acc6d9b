"""The page of this folder, that its routes are added to, and the spans of time that it counts."""

from collections.abc import Mapping
from typing import Final

from pointsman_service.access.scopes import KeyScope
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.page import Pace, Page
from pointsman_service.live.topics import Topic

page = Page(
    "errors",
    "Errors",
    key="e",
    question="What fails, since when, is it new, how often?",
    pace=Pace(frozenset({Topic.ERRORS}), 10.0),
    reads=KeyScope.ERRORS_READ,
)

WINDOWS: Final[Mapping[str, float]] = {"hour": 3600.0, "day": 86_400.0, "week": 7 * 86_400.0, "month": 30 * 86_400.0}
WINDOW_WORDS: Final[Mapping[str, str]] = {"hour": "an hour", "day": "a day", "week": "7 days", "month": "30 days"}
USUAL_WINDOW: Final = "day"


def window_of(ask: Ask) -> str:
    """The span that was asked for, by its name."""
    return ask.chosen("window", WINDOW_WORDS) or USUAL_WINDOW


def is_usual(window: str) -> bool:
    """Whether a link need not name it."""
    return window == USUAL_WINDOW
