"""What authors write of their tasks, as pages show it."""

import re
from collections.abc import Callable
from typing import Final

from markupsafe import Markup, escape

_ENDS: Final = ".!?…"


def ended(text: str) -> str:
    """Words of somebody at the end of a sentence of ours: with one full stop."""
    return text if text.endswith(tuple(_ENDS)) else f"{text}."


_TASK: Final = re.compile(r"\b(task )([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
_CALL: Final = re.compile(r":? (POST|DELETE|PUT) /v1/[^ ]*?( \{.*\})?(?=\.$)")
_LITERAL: Final = re.compile(r"``([^`]+)``|`([^`]+)`")


def linked(text: str, href_of: Callable[[str], str | None]) -> Markup:
    """A sentence of ours, escaped; a task that it names by its id leads there, where ``href_of`` has a link to it."""

    def link(found: re.Match[str]) -> str:
        href = href_of(found[2])
        return found[0] if href is None else f'{found[1]}<a href="{escape(href)}">{found[2]}</a>'

    # Escaping touches no id.
    return Markup(_TASK.sub(link, str(escape(text))))  # noqa: S704


def without_call(text: str) -> str:
    """What to do, without the call that does it, with which it may end: a page has a button for that."""
    return _CALL.sub("", text)


def prose(text: str) -> Markup:
    """The text, escaped; what docstrings set in backticks is code."""
    # Escaping touches no backtick.
    return Markup(_LITERAL.sub(lambda found: f"<code>{found[1] or found[2]}</code>", str(escape(text))))  # noqa: S704
