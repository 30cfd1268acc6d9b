"""What authors write of their tasks, as pages show it."""

import re
from typing import Final

from markupsafe import Markup, escape

_ENDS: Final = ".!?…"


def ended(text: str) -> str:
    """Words of somebody at the end of a sentence of ours: with one full stop."""
    return text if text.endswith(tuple(_ENDS)) else f"{text}."


_LITERAL: Final = re.compile(r"``([^`]+)``|`([^`]+)`")


def prose(text: str) -> Markup:
    """The text, escaped; what docstrings set in backticks is code."""
    # Escaping touches no backtick.
    return Markup(_LITERAL.sub(lambda found: f"<code>{found[1] or found[2]}</code>", str(escape(text))))  # noqa: S704
