"""Numbers as people read them. What is not known is a dash."""

import html
import math

UNKNOWN = "\u2013"


def escape(text: object) -> str:
    """Text inside HTML, SVG and their attributes."""
    return html.escape(str(text))


def count(number: float | None) -> str:
    """12,345."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def short(number: float) -> str:
    """12,345, and 1.23 M from a million on."""
    return f"{number / 1e6:.2f} M" if number >= 1e6 else count(number)


def percent(share: float | None) -> str:
    """99.9 %; never 100 % for less than all, nor 0 % for more than nothing."""
    if share is None:
        return UNKNOWN
    # Rounded first: 0.29 * 1000 is a little less than 290.
    tenths = math.floor(round(share * 1000, 6))
    if share > 0:
        tenths = max(tenths, 1)
    return f"{tenths // 10} %" if tenths in (0, 1000) else f"{tenths / 10:.1f} %"


def seconds(duration: float | None) -> str:
    """12 ms, 1.2 s, 3 min 20 s, 2 h 5 min."""
    if duration is None:
        return UNKNOWN
    if duration < 0.9995:
        milliseconds = duration * 1000
        return f"{milliseconds:.1f} ms" if milliseconds < 9.95 else f"{milliseconds:.0f} ms"
    if duration < 59.95:
        return f"{duration:.1f} s" if duration < 9.95 and duration != round(duration) else f"{duration:.0f} s"
    whole = round(duration)
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    minutes = round(whole / 60)
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")
