"""The page Breakers with all of its routes."""

from pointsman_service.dashboard.breakers import listing, one, acts, policy  # noqa: F401, I001
from pointsman_service.dashboard.breakers.here import page

__all__ = ["page"]
