"""The page itself, which its parts add their routes to."""

from typing import Final

from pointsman_service.access.scopes import KeyScope
from pointsman_service.dashboard.page import Pace, Page
from pointsman_service.live.topics import Topic

page: Final = Page(
    "tasks",
    "Tasks",
    key="t",
    question="Which ones?",
    pace=Pace(frozenset({Topic.TASKS, Topic.QUEUES, Topic.BREAKERS})),
    reads=KeyScope.TASKS_READ,
)
