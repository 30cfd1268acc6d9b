"""The page Task types with all of its routes. The first that fits counts."""

from pointsman_service.dashboard.types import listing, submit  # noqa: F401
from pointsman_service.dashboard.types.here import page

__all__ = ["page"]
