"""What somebody typed, as values."""

import argparse
import json
import re
from typing import Any

_KEY_OF_A_CALLER = re.compile("pm_[0-9A-Za-z]{38}$")


def value_of(text: str) -> Any:
    """JSON where it is that, else the text as it stands."""
    try:
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        return text


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def arguments_of(words: list[str]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a task: ``name=value`` is a named one, anything else a positional one."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if equals and name.isidentifier():
            kwargs[name] = value_of(text)
        else:
            args.append(value_of(word))
    return args, kwargs


def tags_of(words: list[str] | None) -> dict[str, str] | None:
    """``name:value`` each."""
    return {name: value for name, _, value in (word.partition(":") for word in words)} if words else None


def tag(word: str) -> str:
    """One of them. Raises ``ArgumentTypeError``."""
    if not word.partition(":")[1]:
        raise argparse.ArgumentTypeError(f"{word!r} is not name:value")
    return word


def idempotency_key(word: str) -> str:
    """A word that makes a call one with another. Raises ``ArgumentTypeError``, which does not quote it, for a key of a
    caller: that would be stored beside the task.
    """
    if _KEY_OF_A_CALLER.match(word):
        raise argparse.ArgumentTypeError("this is a key to call with, which goes into POINTSMAN_API_KEY")
    return word


def positive(word: str) -> float:
    """Seconds, or a number of things. Raises ``ArgumentTypeError``."""
    try:
        found = float(word)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise argparse.ArgumentTypeError(f"{word!r} is no number above 0")
    return found


def whole(word: str) -> int:
    """The same of what is counted."""
    found = positive(word)
    if found != int(found):
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number")
    return int(found)
