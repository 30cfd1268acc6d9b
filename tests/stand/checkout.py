"""How the code of a checkout is started, also of one from before its packages had names of their own."""

import os
from pathlib import Path
from typing import NamedTuple


class Code(NamedTuple):
    """The names under which the parts of a checkout are run."""

    service: str
    workers: str
    path: tuple[Path, ...]
    """Where its packages lie. They come before those that are installed."""

    def python_path(self) -> str:
        """``PYTHONPATH`` of its processes."""
        return os.pathsep.join([*map(str, self.path), *filter(None, [os.environ.get("PYTHONPATH")])])


def code_of(checkout: Path) -> Code:
    """What is in a checkout."""
    checkout = checkout.resolve()
    if (checkout / "service" / "pointsman_service").is_dir():
        folders = tuple(checkout / folder for folder in ("contract", "service", "workers"))
        return Code("pointsman_service", "pointsman", folders)
    return Code("service", "workers", (checkout,))
