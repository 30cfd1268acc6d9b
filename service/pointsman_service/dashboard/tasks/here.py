"""The page itself, which its parts add their routes to."""

from typing import Final

from pointsman_service.dashboard.page import Page

page: Final = Page("tasks", "Tasks", key="t", question="Which ones?", every_seconds=3.0)
