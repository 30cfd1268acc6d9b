"""Lines over time, drawn to a PNG."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmark.report import Round

_INCHES = (10.0, 2.2)
"""Of one panel."""


class Panel(NamedTuple):
    """One diagram: its title, and the figures it shows, each a line."""

    title: str
    names: Sequence[str]


def draw(path: Path, title: str, rounds: Sequence[Round], panels: Sequence[Panel]) -> None:
    """One panel above the other, all over the minutes of the rounds."""
    # Of the extra bench: whoever only lists the benches need not have it.
    import matplotlib

    matplotlib.use("Agg")  # no screen
    from matplotlib import pyplot

    width, height = _INCHES
    figure, axes = pyplot.subplots(len(panels), 1, sharex=True, figsize=(width, height * len(panels)))
    minutes = [one["minute"] for one in rounds]
    for panel, axis in zip(panels, axes, strict=True):
        for name in panel.names:
            axis.plot(minutes, [one[name] for one in rounds], label=name)
        axis.set_title(panel.title, loc="left", fontsize=10)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        if len(panel.names) > 1:
            axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes[-1].set_xlabel("minutes")
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
