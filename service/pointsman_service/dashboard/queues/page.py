"""The page Queues with all of its routes. The first that fits counts."""

from pointsman_service.dashboard.queues import set_aside, listing, purge, acts  # noqa: F401, I001
from pointsman_service.dashboard.queues.here import page

__all__ = ["page"]
