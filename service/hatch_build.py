"""The migrations lie at the top of the checkout, and inside the package once it is installed."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Migrations(BuildHookInterface):  # type: ignore[type-arg]  # any builder's
    """Ships them. An editable installation finds those of its checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before each build."""
        if version == "editable":
            return
        root = Path(self.root)
        places = (root / "migrations", root.parent / "migrations")
        found = next(place for place in places if (place / "env.py").is_file())
        build_data["force_include"][str(found)] = "pointsman_service/migrations"
