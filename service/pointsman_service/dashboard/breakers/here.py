"""The page of this folder, that its routes are added to, and which breaker a path names."""

from collections.abc import Mapping
from typing import Final

from pointsman_contract.catalogue import MAX_NAME
from pointsman_contract.dependencies import DEPENDENCY, TASK_TYPE, folded_key, is_name
from pointsman_service.access.scopes import KeyScope
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.page import Pace, Page
from pointsman_service.errors import NotFound
from pointsman_service.live.topics import Topic
from pointsman_service.observe.breaker_reader import Key

page = Page(
    "breakers",
    "Breakers",
    key="b",
    question="What is held, since when, when is it tried again?",
    pace=Pace(frozenset({Topic.BREAKERS, Topic.TASKS})),
    reads=KeyScope.BREAKERS_READ,
)

WORKER: Final = "worker"
SCOPES: Final[Mapping[str, str]] = {DEPENDENCY: "dependency", TASK_TYPE: "task type", WORKER: "worker"}
WINDOWS: Final[Mapping[str, float]] = {"hour": 3600.0, "day": 86_400.0, "week": 7 * 86_400.0}
WINDOW_WORDS: Final[Mapping[str, str]] = {"hour": "an hour", "day": "a day", "week": "7 days"}
USUAL_WINDOW: Final = "day"


def window_of(ask: Ask) -> str:
    """The span that was asked for, by its name."""
    return ask.chosen("window", WINDOW_WORDS) or USUAL_WINDOW


def key_of(ask: Ask) -> Key:
    """The breaker that the path names. Raises ``NotFound`` where none can be called so."""
    scope, name = str(ask.names["scope"]), str(ask.names["name"])
    if scope not in SCOPES or not name or len(name) > MAX_NAME or "\x00" in name:
        raise NotFound("No circuit breaker can be called so.")
    key = folded_key(scope, name)
    if scope != TASK_TYPE and not is_name(key[1]):
        raise NotFound("No circuit breaker can be called so.")
    return key
