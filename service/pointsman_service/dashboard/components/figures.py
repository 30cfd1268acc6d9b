"""Numbers as pages write them."""

MOST_COUNTED = 10_000
"""Rows are counted up to here; more is said to be more."""
NONE = "\N{EN DASH}"


def number(value: float | None) -> str:
    """``12,481``, ``0.25``; a dash for None."""
    if value is None:
        return NONE
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2g}"


def counted_rows(value: int | None, most: int = MOST_COUNTED) -> str:
    """How many rows there are, of which at most ``most + 1`` were looked for: ``more than 10,000``."""
    if value is None:
        return NONE
    return f"more than {most:,}" if value > most else f"{value:,}"


def some(value: int, thing: str, things: str | None = None) -> str:
    """``1 task``, ``12,481 tasks``."""
    return f"{value:,} {thing if value == 1 else things or thing + 's'}"


def percent(share: float | None) -> str:
    """``99.98 %``, never rounded up to a hundred; a dash for None."""
    if share is None:
        return NONE
    if share >= 1:
        return "100 %"
    shown = min(int(share * 10_000) / 100, 99.99)
    return "0 %" if share <= 0 else ("< 0.01 %" if shown == 0 else f"{shown:.2f} %")


def bytes_of(size: int | None) -> str:
    """``214 B``, ``3.4 kB``, ``12 MB``."""
    if size is None:
        return NONE
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def label(word: str) -> str:
    """A word of our own as people read it: ``half_open`` is ``half open``."""
    return word.replace("_", " ")
