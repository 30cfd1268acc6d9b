"""The page itself, which its parts add their routes to."""

from typing import Final

from pointsman_service.dashboard.page import Page

page: Final = Page("queues", "Queues", key="q", question="Is it within its target, will it be?")
