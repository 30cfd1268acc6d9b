"""What a server, or the way to it, said when it was of no use: one line for a log or a person, and nothing secret."""

from collections.abc import Collection

_LONGEST = 300
_SHORTEST_SECRET = 4
"""To blot out a shorter one would garble words and hide nothing."""


def server_words(error: BaseException, secrets: Collection[str] = ()) -> str:
    """The class and the words of an error, as ``InvalidPasswordError: password authentication failed for user "app"``.

    Of one that stands for another, as those of SQLAlchemy do, those of the other. None of ``secrets`` is in it.
    """
    said = said_by(error)
    words = " ".join(str(said).split())
    if not words and isinstance(said, TimeoutError):
        words = "no answer in time"
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            words = words.replace(secret, "***")
    name = type(said).__name__
    return (f"{name}: {words}" if words else name)[:_LONGEST]


def said_by(error: BaseException) -> BaseException:
    """The error of the driver, below those that wrap it."""
    said: BaseException = getattr(error, "orig", None) or error
    # A driver's adapter raises its own class from the one that has a name.
    return said.__cause__ if said is not error and said.__cause__ is not None else said
