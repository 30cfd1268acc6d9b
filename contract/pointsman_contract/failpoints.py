"""Named places where a test makes the process die or stand still: what a crash between two lines leaves behind.

``POINTSMAN_FAILPOINTS`` arms them: ``recorder.committed=kill@3`` ends the process by SIGKILL the third time it gets
there, ``stop`` freezes it by SIGSTOP until somebody continues it; several are separated by commas. Off, a place costs a
call of an empty function. Without ``POINTSMAN_TESTING=1`` the variable is refused at start.
"""

import os
import re
import signal
from collections.abc import Callable, Mapping
from enum import StrEnum

VARIABLE = "POINTSMAN_FAILPOINTS"
TESTING = "POINTSMAN_TESTING"


class Failpoint(StrEnum):
    """Every place there is."""

    API_COMMITTING = "api.committing"
    """A group commit is about to be written."""
    API_COMMITTED = "api.committed"
    """It is durable; nobody was answered and nothing published."""
    API_PUBLISHED = "api.published"
    """Its messages are on the broker, its outbox rows are still there."""
    DISPATCHER_SENT = "dispatcher.sent"
    """Tasks are marked as sent, with their outbox row; nothing was published."""
    DISPATCHER_PUBLISHED = "dispatcher.published"
    """They were published; their outbox row is still there."""
    RECORDER_RECORDING = "recorder.recording"
    """A batch is written, its transaction not committed."""
    RECORDER_COMMITTED = "recorder.committed"
    """A batch is committed; the stream was not trimmed and its position not published."""
    EPOCH_COMMITTED = "epoch.committed"
    """A new epoch stands in Postgres; Redis does not know."""
    EPOCH_DECLARED = "epoch.declared"
    """Redis knows of it; nobody has been counted."""
    EPOCH_SENT_AGAIN = "epoch.sent_again"
    """Everything that must be sent again waits; the epoch is not open."""
    EPOCH_OPENED = "epoch.opened"
    """The epoch is open in Postgres; Redis does not know."""
    CLAIMS_CLOSED = "claims.closed"
    """The claims of tasks that end from outside are closed, their rows have not ended."""
    WORKER_CLAIMED = "worker.claimed"
    """An attempt is claimed; its slot does not say so yet."""
    WORKER_RAN = "worker.ran"
    """The body ended; its outcome was not reported."""
    WORKER_REPORTED = "worker.reported"
    """The outcome is reported; its message was not acknowledged."""


class BadFailpoints(SystemExit):
    """The variable asks for what there is not, or outside of a test."""


_ARMED: dict[str, Callable[[], None]] = {}
_WORDS = re.compile(r"(?P<name>[\w.]+)=(?P<action>kill|stop)(?:@(?P<time>[1-9]\d*))?")
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def _pass_by(_name: Failpoint) -> None:
    pass


def _act(name: Failpoint) -> None:
    action = _ARMED.get(name)
    if action is not None:
        action()


def _signalled(action: str, time: int) -> Callable[[], None]:
    left = time

    def act() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), _SIGNALS[action])

    return act


def parse(words: str) -> dict[str, Callable[[], None]]:
    """What the variable asks for. Raises ``BadFailpoints``."""
    found = {}
    for word in filter(None, map(str.strip, words.split(","))):
        match = _WORDS.fullmatch(word)
        if match is None or match["name"] not in set(Failpoint):
            raise BadFailpoints(f"{VARIABLE}: {word} is not NAME=kill or NAME=stop with a known NAME")
        found[match["name"]] = _signalled(match["action"], int(match["time"] or 1))
    return found


def of_environment(environment: Mapping[str, str]) -> dict[str, Callable[[], None]]:
    """What this process shall do at which place. Raises ``BadFailpoints`` outside of a test."""
    words = environment.get(VARIABLE, "")
    if words and environment.get(TESTING) != "1":
        raise BadFailpoints(f"{VARIABLE} is set: it kills processes, and is refused unless {TESTING}=1")
    return parse(words)


_ARMED.update(of_environment(os.environ))
reach: Callable[[Failpoint], None] = _act if _ARMED else _pass_by
"""The process is at this place."""
