"""The page itself, which its parts add their routes to."""

from typing import Final

from pointsman_service.access.scopes import KeyScope
from pointsman_service.dashboard.page import Pace, Page
from pointsman_service.live.topics import Topic

page: Final = Page(
    "types",
    "Types",
    key="y",
    question="What does it do, how long, how often does it fail, how do I run one?",
    pace=Pace(frozenset({Topic.TASKS}), 15.0, least_seconds=5.0),
    reads=KeyScope.QUEUES_READ,
)
