"""The words of the command line."""

import argparse
import sys
from typing import NoReturn, TypeAlias

from pointsman_client.commands.exits import Exit
from pointsman_client.commands.given import idempotency_key, positive, tag, whole
from pointsman_client.outbox.words import add_words, fault_of
from pointsman_client.release import RELEASE

STATES = ("scheduled", "queued", "held", "running", "retrying", "succeeded", "failed", "cancelled", "expired")
_WHERE = (
    "The API is --url, else POINTSMAN_URL, else that of a running ./scripts/up of this directory, else"
    " http://127.0.0.1:8000; its key is POINTSMAN_API_KEY."
)
_EXITS = (
    "Exit status: 0 done, 1 refused, or the task did not succeed, 2 no answer, 3 the task still runs,"
    " 64 a wrong command line."
)
_WAIT_SECONDS = 60.0


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, after how it is used."""

    def error(self, message: str) -> NoReturn:
        """End with the status of a wrong command line."""
        self.print_usage(sys.stderr)
        self.exit(Exit.USAGE, f"{self.prog}: {message}\n")


def parser() -> Parser:
    """Of every command."""
    found = Parser(prog="pointsman", description="Pointsman from outside, over HTTP.", epilog=f"{_WHERE} {_EXITS}")
    found.add_argument("--version", action="version", version=f"pointsman-client {RELEASE}")
    commands = found.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _top(commands)
    for add in (_submit, _get, _list, _cancel, _retry, _tail, _queues, _breakers, _relay):
        add(commands)
    return found


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def _top(commands: Commands) -> None:
    top = commands.add_parser(
        "top",
        help="what is wrong now",
        description="What is wrong now, since when, what is done about it, and what you can do.",
        epilog=f"Exit status of --once: 0 healthy, 1 degraded or not known, 2 unreachable. {_WHERE}",
    )
    top.add_argument("--url", help="where the API is")
    top.add_argument("--once", action="store_true", help="look once and end; so it is without a terminal, too")
    top.add_argument("--json", action="store_true", help="look once, as JSON")


def _command(commands: Commands, name: str, help_: str, description: str) -> Parser:
    found = commands.add_parser(name, help=help_, description=description, epilog=f"{_WHERE} {_EXITS}")
    found.add_argument("--url", help="where the API is")
    found.add_argument("--json", action="store_true", help="a JSON document a line, as the API says it")
    found.add_argument("--timeout", type=positive, default=60.0, metavar="SECONDS", help="of each call, at most (60)")
    return found


def _submit(commands: Commands) -> None:
    found = _command(
        commands,
        "submit",
        "submit a task",
        "Submit a task. When this ends well the task is stored, and runs to one end: it is sent again until then,"
        " and stored once all the same.",
    )
    found.add_argument("task_type", metavar="TYPE", help="what to run")
    found.add_argument(
        "arguments",
        nargs="*",
        default=[],
        metavar="ARGUMENT",
        help="name=value for a named one; JSON where it is that, else text",
    )
    found.add_argument("--queue", help="in place of its own")
    found.add_argument("--priority", type=int, metavar="0-10", help="10 is the most urgent")
    found.add_argument("--delay", type=positive, metavar="SECONDS", help="not before so long from now")
    found.add_argument("--expires-at", metavar="MOMENT", help="no attempt starts from then on")
    found.add_argument("--max-attempts", type=whole, metavar="NUMBER", help="until it is failed")
    found.add_argument("--tag", action="append", type=tag, metavar="NAME:VALUE", help="for finding it again")
    found.add_argument(
        "--key", type=idempotency_key, help="an Idempotency-Key: the same call again gives the same task"
    )
    _add_wait(found)


def _get(commands: Commands) -> None:
    found = _command(commands, "get", "show a task", "One task as it is.")
    found.add_argument("id", metavar="TASK")
    _add_wait(found)


def _add_wait(found: Parser) -> None:
    found.add_argument(
        "--wait", nargs="?", type=positive, const=_WAIT_SECONDS, metavar="SECONDS",
        help="until it has ended, at most so long (60); it goes on after that",
    )  # fmt: skip


def _list(commands: Commands) -> None:
    found = _command(commands, "list", "list tasks", "The newest tasks that meet a filter.")
    _add_filter(found)
    found.add_argument("--error", metavar="TYPE", help="whose last attempt failed with this error")
    found.add_argument("--limit", type=whole, default=20, metavar="NUMBER", help="at most (20)")


def _add_filter(found: Parser) -> None:
    found.add_argument("--state", choices=STATES, metavar="STATE", help=", ".join(STATES))
    found.add_argument("--queue", help="of this queue")
    found.add_argument("--type", help="of this type")
    found.add_argument("--tag", action="append", type=tag, metavar="NAME:VALUE", help="with this tag")


def _cancel(commands: Commands) -> None:
    found = _command(commands, "cancel", "cancel tasks", "Ask for the end of tasks. One that waits never starts.")
    found.add_argument("ids", nargs="+", metavar="TASK")
    found.add_argument("--reason", help="is kept beside it")
    found.add_argument("--end-running", action="store_true", help="end an attempt that runs, too")


def _retry(commands: Commands) -> None:
    found = _command(commands, "retry", "run ended tasks again", "Ended tasks run again, each as a new one.")
    found.add_argument("ids", nargs="+", metavar="TASK")
    found.add_argument("--reason", help="is kept beside it")


def _tail(commands: Commands) -> None:
    found = _command(
        commands,
        "tail",
        "what becomes of tasks, as it happens",
        "What becomes of one task until it has ended, or of all that meet a filter until Ctrl-C.",
    )
    found.add_argument("id", nargs="?", metavar="TASK")
    found.add_argument("--lines", action="store_true", help="what the task writes, in place of its states")
    _add_filter(found)


def _queues(commands: Commands) -> None:
    found = _command(commands, "queues", "show, pause and resume queues", "The queues, or one; or pause or resume one.")
    _add_act(found, ("pause", "resume"), "QUEUE")


def _breakers(commands: Commands) -> None:
    found = _command(
        commands,
        "breakers",
        "show circuit breakers, open, close and reset them",
        "The circuit breakers, or those of one name; or force one open or closed, or let it judge for itself again.",
    )
    _add_act(found, ("open", "close", "reset"), "NAME")
    found.add_argument("--scope", choices=("task_type", "dependency", "worker"), help="what it is of (dependency)")
    found.add_argument("--state", help="only those in this state")
    found.add_argument("--new", action="store_true", help="with open: of a dependency that nobody has called yet")


def _relay(commands: Commands) -> None:
    found = commands.add_parser(
        "relay",
        help="submit what an outbox holds",
        description="Submit what the outbox of an application holds, until it is stopped; or look after rows that were"
        " refused. The database is that of --database-url-file, else POINTSMAN_OUTBOX_DATABASE_URL, as SQLAlchemy"
        " writes it.",
        epilog=f"{_WHERE} {_EXITS}",
    )
    found.add_argument("--url", help="where the API is")
    found.add_argument("--database-url-file", metavar="FILE", help="has the URL of the database, with its password")
    found.add_argument("--table", default="pointsman_outbox", help="of the outbox (pointsman_outbox)")
    found.add_argument("--schema", help="that it is in")
    found.set_defaults(json=False, timeout=60.0)
    add_words(found)


def _add_act(found: Parser, acts: tuple[str, ...], name: str) -> None:
    found.add_argument("words", nargs="*", metavar=f"[{'|'.join(acts)}] [{name}]", help="without an act: show it")
    found.add_argument("--reason", help="is kept beside the act, and needed for most")
    found.set_defaults(acts=acts, act=None, name=None)


def settled(found: Parser, given: argparse.Namespace) -> argparse.Namespace:
    """Of commands with acts: which one, and of what. Ends with the status of a wrong command line."""
    if given.command == "relay" and (fault := fault_of(given)) is not None:
        found.error(f"relay: {fault}")
    acts: tuple[str, ...] | None = getattr(given, "acts", None)
    if acts is None:
        return given
    words = list(given.words)
    if words and words[0] in acts:
        given.act = words.pop(0)
        if not words:
            found.error(f"{given.command} {given.act} needs a name")
        if not given.reason and given.act != "resume":
            found.error(f"{given.command} {given.act} needs a --reason")
    if len(words) > 1:
        found.error(f"{words[0]!r} is none of {', '.join(acts)}")
    given.name = words[0] if words else None
    if given.command == "breakers":
        if given.new and given.act != "open":
            found.error("breakers: --new goes with open")
        if given.act is not None:
            given.scope = given.scope or "dependency"
    return given
