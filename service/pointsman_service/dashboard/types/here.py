"""The page itself, which its parts add their routes to."""

from typing import Final

from pointsman_service.dashboard.page import Page

page: Final = Page(
    "types",
    "Types",
    key="y",
    question="What does it do, how long, how often does it fail, how do I run one?",
    every_seconds=10.0,
)
