"""The words of a command that relays an outbox, ``pointsman relay`` and ``manage.py pointsman_relay``."""

import argparse

ACTS = ("run", "once", "refused", "retry", "drop")
SECONDS = (
    ("--interval-seconds", 0.5, "between two looks where there was nothing"),
    ("--call-seconds", 30.0, "of a request, at most"),
    ("--lease-seconds", 90.0, "after which another relay sends what one that died had"),
    ("--keep-seconds", 86_400.0, "that a sent row is kept"),
    ("--key-seconds", 86_400.0, "that Pointsman remembers a key, at least"),
    ("--kept-seconds", 604_800.0, "that Pointsman keeps a task, at least"),
)


def add_words(parser: argparse.ArgumentParser) -> None:
    """Give a parser the act, the rows that it is about, and the options of a relay."""
    parser.add_argument(
        "act", nargs="?", choices=ACTS, default="run", metavar="run|once|refused|retry|drop",
        help="relay until it is stopped (run), relay what is due now, show refused rows, send some of them again,"
        " delete some of them",
    )  # fmt: skip
    parser.add_argument("ids", nargs="*", metavar="ROW", help="of retry and drop: numbers of rows, or all")
    parser.add_argument("--batch", type=int, default=500, help="rows in a request, at most (500)")
    for name, seconds, help_ in SECONDS:
        parser.add_argument(name, type=float, default=seconds, metavar="SECONDS", help=f"{help_} ({seconds:g})")


def fault_of(given: argparse.Namespace) -> str | None:
    """What is wrong with the words; None: nothing."""
    if given.act not in ("retry", "drop"):
        return "rows are named for retry and drop alone" if given.ids else None
    if not given.ids:
        return f"{given.act} needs the numbers of rows, or all"
    return None if given.ids == ["all"] or all(word.isdecimal() for word in given.ids) else "rows have numbers"
