"""The modules that ``POINTSMAN_TASK_MODULES`` names, and whether they brought any task."""

import logging
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from pointsman.extras import named, without_extra

logger = logging.getLogger(__name__)


def log_left_out(shipped: Mapping[str, str | None]) -> None:
    """Warn of the shipped task types that are not offered for want of an extra."""
    left_out = without_extra(shipped)
    if left_out:
        logger.warning(
            "the task types of %s are not offered: their packages are not installed; pip install '%s' brings them",
            ", ".join(left_out),
            named(left_out.values()),
        )


def look_for_tasks(app: Any, modules: Sequence[str]) -> None:
    """Warn of each module that defined no task.

    Raises ``SystemExit`` for a package whose tasks are in a module of it that nobody imported: a worker that offers
    nothing looks like one that does.
    """
    homes = {task.__module__ for task in app.tasks.values()}
    for name in modules:
        if any(home == name or home.startswith(f"{name}.") for home in homes):
            continue
        inside = f"{name}.tasks"
        if hasattr(sys.modules.get(name), "__path__") and inside not in sys.modules and find_spec(inside) is not None:
            raise SystemExit(
                f"POINTSMAN_TASK_MODULES names the package {name}, which defines no task: name {inside} instead."
            )
        logger.warning("POINTSMAN_TASK_MODULES names %s, which defines no task", name)
