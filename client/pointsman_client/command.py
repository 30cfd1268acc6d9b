"""The command ``pointsman``."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence

from pointsman_client.errors import NoSuchPlace
from pointsman_client.release import RELEASE

_USAGE = 64
"""Exit status of a wrong command line: 2 is taken."""
_LACKING = 69
"""Likewise, of an installation without what a command needs."""
_EXTRAS = ("rich", "textual")
_WIDTH = 120
"""Where there is no screen."""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the words say; the exit status."""
    parser = _Parser(prog="pointsman", description="Pointsman from outside, over HTTP.")
    parser.add_argument("--version", action="version", version=f"pointsman-client {RELEASE}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    top = commands.add_parser(
        "top",
        help="what is wrong now",
        description="What is wrong now, since when, what is done about it, and what you can do.",
        epilog="Exit status of --once: 0 healthy, 1 degraded or not known, 2 unreachable. The API is --url, else"
        " POINTSMAN_URL, else that of a running ./scripts/up of this directory, else http://127.0.0.1:8000;"
        " its key is POINTSMAN_API_KEY.",
    )
    top.add_argument("--url", help="where the API is")
    top.add_argument("--once", action="store_true", help="look once and end; so it is without a terminal, too")
    top.add_argument("--json", action="store_true", help="look once, as JSON")
    given = parser.parse_args(words)
    try:
        return _top(given.url, once=given.once, as_json=given.json)
    except NoSuchPlace as error:
        print(f"pointsman: {error}.", file=sys.stderr)  # noqa: T201 - a command speaks
        return _USAGE
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRAS:
            raise
        print("pointsman: top needs what is not installed here: pip install 'pointsman-client[tui]'", file=sys.stderr)  # noqa: T201
        return _LACKING


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> "None":  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(_USAGE, f"{self.prog}: {message}\n")


def _top(url: str | None, *, once: bool, as_json: bool) -> int:
    from pointsman_client.place import find_place
    from pointsman_client.top.pen import Pen

    place = find_place(url)
    pen = Pen(ascii_only=not _can_say("✖…█", sys.stdout.encoding))
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if once or as_json or not is_terminal:
        from pointsman_client.top.once import look
        from pointsman_client.top.paint import painter

        escapes = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        paint = painter(escapes=escapes, colours=not os.environ.get("NO_COLOR"))
        width = shutil.get_terminal_size((_WIDTH, 24)).columns
        return int(look(place, sys.stdout, pen, width, paint, as_json=as_json))
    from pointsman_client.top.screen import show

    show(place, pen)
    return 0


def _can_say(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
