"""Figures of days that are over, kept beside the reports, so that a year outlives the metrics of the control plane.

A file a month, ``figures/2026-03.json``. Only days with figures are kept: one without may be one the control plane has
forgotten.
"""

import contextlib
from datetime import date
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ValidationError

from pointsman.shipped.reports import files
from pointsman.shipped.reports.figures import Metrics

_VERSION = 1


class Day(BaseModel):
    """What the API said of one day."""

    queues: Metrics
    task_types: Metrics


class Month(BaseModel):
    """The known days of one month."""

    version: int = _VERSION
    days: dict[date, Day] = {}

    @classmethod
    def read(cls, directory: Path, first: date) -> Self:
        """The month that begins at ``first``; empty when nothing is kept, or nothing that can be read."""
        with contextlib.suppress(OSError, ValidationError):
            found = cls.model_validate_json(_path(directory, first).read_bytes())
            if found.version == _VERSION:
                return found
        return cls()

    def write(self, directory: Path, first: date) -> None:
        """Keep it."""
        files.write(_path(directory, first), self.model_dump_json())


def _path(directory: Path, first: date) -> Path:
    return directory / "figures" / f"{first:%Y-%m}.json"
