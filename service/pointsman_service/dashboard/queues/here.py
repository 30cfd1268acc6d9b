"""The page itself, which its parts add their routes to."""

from typing import Final

from pointsman_service.access.scopes import KeyScope
from pointsman_service.dashboard.page import Pace, Page
from pointsman_service.live.topics import Topic

# Alerts are refreshed too often for a page whose figures do not come from them.
_TOPICS: Final = frozenset({Topic.TASKS, Topic.QUEUES, Topic.BREAKERS})

page: Final = Page(
    "queues",
    "Queues",
    key="q",
    question="Is it within its target, will it be?",
    pace=Pace(_TOPICS),
    reads=KeyScope.QUEUES_READ,
)
