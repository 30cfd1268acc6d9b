"""What a bench found: its rounds, their medians, and the ratios that count."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = ("celery", "kombu", "redis", "fastapi", "uvicorn", "sqlalchemy", "asyncpg")

Round = dict[str, float]
"""Figures of one round, by name."""


@dataclass(frozen=True)
class Report:
    """The result of one bench."""

    name: str
    rounds: Sequence[Round]
    rates: Sequence[str]
    """Names of the figures the table shows; all others go to the JSON only."""
    compared: Mapping[str, tuple[str, str]]
    """Name of a ratio to the figures it divides."""
    targets: Mapping[str, float]
    """Name of a ratio to what it must at least be."""
    generator: Mapping[str, Any] | None
    """What made the load, and the share of a core it took."""
    notes: Sequence[str]

    @property
    def medians(self) -> dict[str, float]:
        """The median over the rounds of every figure."""
        return {name: round(statistics.median(r[name] for r in self.rounds), 3) for name in self.rounds[0]}

    @property
    def ratios(self) -> dict[str, float]:
        """The median over the rounds of each round's ratio: both sides of it ran within seconds of each other."""
        return {
            name: round(statistics.median(r[ours] / r[theirs] for r in self.rounds), 3)
            for name, (ours, theirs) in self.compared.items()
        }

    def table(self) -> str:
        """For people."""
        width = max(map(len, [*self.rates, *self.compared]))
        heads = "".join(f"{f'round {n}':>10}" for n in range(1, len(self.rounds) + 1))
        lines = ["", f"{self.name + ', per second':<{width}}{heads}{'median':>10}"]
        for name in self.rates:
            values = "".join(f"{r[name]:>10,.0f}" for r in self.rounds)
            lines.append(f"{name:<{width}}{values}{self.medians[name]:>10,.0f}")
        lines.append("")
        for name, (ours, theirs) in self.compared.items():
            values = "".join(f"{r[ours] / r[theirs]:>10.2f}" for r in self.rounds)
            lines.append(f"{name:<{width}}{values}{self.ratios[name]:>10.2f}{self._verdict(name)}")
        return "\n".join([*lines, "", *self.notes])

    def write(self, path: Path) -> None:
        """For machines."""
        document = {
            "name": self.name,
            "machine": _machine(),
            "versions": {package: version(package) for package in _PACKAGES},
            "generator": self.generator,
            "rounds": self.rounds,
            "medians": self.medians,
            "ratios": self.ratios,
            "targets": self.targets,
            "notes": self.notes,
        }
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def _verdict(self, name: str) -> str:
        if name not in self.targets:
            return ""
        reached = "reached" if self.ratios[name] >= self.targets[name] else "below target"
        return f"  at least {self.targets[name]:g}: {reached}"


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
    }
