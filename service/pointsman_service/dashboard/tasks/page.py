"""The page Tasks with all of its routes. The first that fits counts: what has a word of its own stands before ids."""

from pointsman_service.dashboard.tasks import acts, many, listing, one, again, change, cancel, share  # noqa: F401, I001
from pointsman_service.dashboard.tasks.here import page

__all__ = ["page"]
