"""Durations in the unit that a person would say."""

NONE = "\N{EN DASH}"
_LONG = 600
"""What waits for longer is told by the minute."""
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


def duration(seconds: float | None, *, rough: bool = False) -> str:
    """``4 ms``, ``1.2 s``, ``50 s``, ``4 min 10 s``, ``2 h 30 min``, ``3 d 4 h``; a dash for None.

    ``rough``: the largest unit alone, as one says how long ago something was.
    """
    if seconds is None:
        return NONE
    sign = "\N{MINUS SIGN}" if seconds < 0 else ""
    return sign + _positive(abs(seconds), rough)


def about(seconds: float | None) -> str:
    """A wait as it is told beside a target: ``< 1 s``, ``12 s``, ``4 min 10 s``, ``19 min``; a dash for None."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return "< 1 s"
    return duration(seconds if seconds < _LONG else round(seconds / 60) * 60)


def _positive(seconds: float, rough: bool) -> str:
    if seconds == 0:
        return "0 s"
    if seconds < 0.001:
        return "< 1 ms"
    if seconds < 0.9995 and not rough:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95 and not rough:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = int(seconds) if rough else round(seconds)
    if whole < 60:
        return f"{whole} s"
    for index, (size, unit) in enumerate(_UNITS):
        if whole >= size:
            rest = whole % size
            smaller_size, smaller = (*_UNITS, (1, "s"))[index + 1]
            said = f"{whole // size} {unit}"
            return said if rough or rest < smaller_size else f"{said} {rest // smaller_size} {smaller}"
    raise AssertionError(whole)
