"""The page Errors with all of its routes."""

from pointsman_service.dashboard.errors import listing, one, acts  # noqa: F401, I001
from pointsman_service.dashboard.errors.here import page

__all__ = ["page"]
