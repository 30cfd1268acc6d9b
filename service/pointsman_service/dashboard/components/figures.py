"""Numbers as pages write them."""

MOST_COUNTED = 10_000
"""Rows are counted up to here; more is said to be more."""
_NEARLY_ALL = 0.99
_ROUNDING = 1e-9
"""What a product of floats may lack."""
NONE = "\N{EN DASH}"


def number(value: float | None) -> str:
    """``12,481``, ``0.25``; a dash for None."""
    if value is None:
        return NONE
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}".removesuffix(".0") if abs(value) >= 10 else f"{value:.2g}"


def counted_rows(value: int | None, most: int = MOST_COUNTED) -> str:
    """How many rows there are, of which at most ``most + 1`` were looked for: ``more than 10,000``."""
    if value is None:
        return NONE
    return f"more than {most:,}" if value > most else f"{value:,}"


def some(value: int, thing: str, things: str | None = None) -> str:
    """``1 task``, ``12,481 tasks``."""
    return f"{value:,} {thing if value == 1 else things or thing + 's'}"


def percent(share: float | None) -> str:
    """``99.98 %``, ``21 %``: finer where it is nearly all, never rounded up to a hundred; a dash for None."""
    if share is None:
        return NONE
    if share >= 1:
        return "100 %"
    if share <= 0:
        return "0 %"
    parts = 100 if share >= _NEARLY_ALL else 10
    shown = min(int(share * 100 * parts + _ROUNDING), 100 * parts - 1) / parts
    return f"{shown:g} %" if shown else "< 0.1 %"


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
