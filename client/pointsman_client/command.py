"""The command ``pointsman``."""

import os
import shutil
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from pointsman_client.commands.exits import Exit
from pointsman_client.commands.parser import parser, settled
from pointsman_client.errors import ClientError, NoSuchPlace, Unreachable
from pointsman_client.shown import can_say

if TYPE_CHECKING:
    from pointsman_client.place import Place

_EXTRAS = {"rich": "tui", "textual": "tui", "sqlalchemy": "sqlalchemy"}
"""Which of ours brings a package."""
_WIDTH = 120
"""Where there is no screen."""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; the exit status."""
    words = sys.argv[1:] if words is None else words
    parsing = parser()
    if any("\ud800" <= character <= "\udfff" for word in words for character in word):
        parsing.error("a word is no text of this system's encoding")
    given = settled(parsing, parsing.parse_args(words))
    try:
        return _top(given) if given.command == "top" else _asked(given)
    except NoSuchPlace as error:
        return _complained(f"{error}.", Exit.USAGE)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None and given.command != "relay":
            raise
        # The driver of a database is one of somebody else's.
        bring = f"'pointsman-client[{extra}]'" if extra is not None else error.name
        return _complained(f"{given.command} needs what is not installed here: pip install {bring}", Exit.LACKING)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read it has read enough; Python would complain of that once more when it ends.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.WELL


def _asked(given: Namespace) -> int:
    from pointsman_client.commands.breakers import breakers
    from pointsman_client.commands.queues import queues
    from pointsman_client.commands.relay import relay
    from pointsman_client.commands.tail import tail
    from pointsman_client.commands.tasks import cancel, get, list_, retry, submit
    from pointsman_client.commands.voice import Voice
    from pointsman_client.sync.client import Client

    commands: dict[str, Callable[[Client, Namespace, Voice], Exit]] = {
        "submit": submit, "get": get, "list": list_, "cancel": cancel, "retry": retry, "tail": tail,
        "queues": queues, "breakers": breakers, "relay": relay,
    }  # fmt: skip
    voice = Voice(as_json=given.json)
    with Client(given.url, timeout=given.timeout) as client:
        try:
            with voice.patient():
                return commands[given.command](client, given, voice)
        except ClientError as error:
            # Nobody sees which of four places named the API.
            voice.complain(f"{client.url}: {error}" if isinstance(error, Unreachable) else str(error))
            return Exit.of(error)
        except ValueError as error:
            # Nothing was sent: no request can carry what was typed.
            voice.complain(str(error))
            return Exit.USAGE


def _top(given: Namespace) -> int:
    from pointsman_client.place import find_place

    place = find_place(given.url)
    if given.json:
        from pointsman_client.top.looking import look, write_json

        seen = look(place)
        write_json(seen, sys.stdout)
        return int(seen.exit)
    return _shown(place, once=given.once)


def _shown(place: "Place", *, once: bool) -> int:
    from pointsman_client.top.pen import Pen

    pen = Pen(ascii_only=not can_say("✖…█", sys.stdout.encoding))
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if once or not is_terminal:
        from pointsman_client.top.looking import look
        from pointsman_client.top.once import write
        from pointsman_client.top.paint import painter

        escapes = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        paint = painter(escapes=escapes, colours=not os.environ.get("NO_COLOR"))
        width = shutil.get_terminal_size((_WIDTH, 24)).columns
        seen = look(place)
        write(seen, sys.stdout, pen, width, paint)
        return int(seen.exit)
    from pointsman_client.top.screen import show

    show(place, pen)
    return Exit.WELL


def _complained(text: str, status: Exit) -> int:
    sys.stderr.write(f"pointsman: {text}\n")
    return status
