"""Numbers as pages write them."""

MOST_COUNTED = 10_000
"""Rows are counted up to here; more is said to be more."""
_NEARLY_ALL = 0.99
_ROUNDING = 1e-9
"""What a product of floats may lack."""
_WHOLE_FROM = 9.95
"""What is more is told without a fraction."""
_LEAST_RATE = 0.1
_LEAST_TIMES = 0.01
NONE = "\N{EN DASH}"


def number(value: float | None) -> str:
    """``12,481``, ``0.25``; a dash for None."""
    if value is None:
        return NONE
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}".removesuffix(".0") if abs(value) >= 10 else f"{value:.2g}"


def rate(value: float | None) -> str:
    """So many a minute, beside others: ``0``, ``7.3``, ``32``; a dash for None."""
    if value is None:
        return NONE
    if value <= 0:
        return "0"
    if value < _LEAST_RATE:
        return f"< {_LEAST_RATE:g}"
    return f"{value:,.0f}" if value >= _WHOLE_FROM else f"{value:.1f}"


def times(value: float | None) -> str:
    """How many times as fast as it may be: ``×0``, ``×0.29``, ``×6.6``, ``×14``; a dash for None."""
    if value is None:
        return NONE
    if 0 < value < _LEAST_TIMES:
        return f"< ×{_LEAST_TIMES:g}"
    said = f"{value:,.0f}" if value >= _WHOLE_FROM else f"{value:.{1 if value >= 1 else 2}f}".rstrip("0").rstrip(".")
    return f"×{said or 0}"


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
