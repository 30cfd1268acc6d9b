"""Failures as workers report them: a few causes, each told with other ids, times, places and lines every time."""

import random
import string
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

Frame = tuple[str, str]
"""A file and a function."""


class Failure(NamedTuple):
    """What ``group_of`` is asked about."""

    task_type: str
    error_type: str
    message: str
    traceback: str


class Varying:
    """What differs from one failure to the next."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def number(self) -> int:
        return self._chance.choice([0, 7, 10, 404, 99_999, 12_345_678])

    def uuid(self) -> str:
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    def hexadecimal(self, digits: int) -> str:
        return "".join(self._chance.choices("0123456789abcdef", k=digits))

    def ulid(self) -> str:
        return "01" + "".join(self._chance.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZ", k=24))

    def time(self) -> str:
        at = datetime(2026, 11, 28, tzinfo=UTC) + timedelta(seconds=self._chance.uniform(-1e7, 1e7))
        forms = (at.isoformat(), at.isoformat(" ", "seconds"), at.strftime("%Y-%m-%dT%H:%M:%SZ"))
        return self._chance.choice(
            (*forms, at.strftime("%a %b %d %H:%M:%S %Y"), at.strftime("%d/%b/%Y:%H:%M:%S +0000"))
        )

    def path(self) -> str:
        names = ("".join(self._chance.choices(string.ascii_lowercase + "_-.", k=8)) + "x" for _ in range(3))
        return self._chance.choice(("/var/", "/tmp/build-7/", "~/", "C:\\data\\")) + "/".join(names) + ".csv"

    def address(self) -> str:
        dotted = ".".join(str(self._chance.randrange(256)) for _ in range(4))
        return self._chance.choice((dotted, f"{dotted}:{self._chance.randrange(1, 65_536)}", "2001:db8::ff00:42:8329"))

    def url(self) -> str:
        return f"https://{self.word()}.example.org/v{self.number()}/{self.word()}?q={self.word()}"

    def mail(self) -> str:
        return f"{self.word()}.{self.word()}+{self.number()}@{self.word()}.example.org"

    def word(self) -> str:
        return "".join(self._chance.choices(string.ascii_lowercase, k=self._chance.randrange(3, 12)))

    def quoted(self) -> str:
        said = self._chance.choice((self.word(), f"{self.word()} isn't {self.word()}", self.mail(), "é ü", ""))
        return repr(said)

    def instance(self) -> str:
        return "i-" + self.hexadecimal(17)

    def pod(self) -> str:
        letters = "bcdfghjklmnpqrstvwxz2456789"
        return "shop-" + "-".join("".join(self._chance.choices(letters, k=digits)) for digits in (9, 5))

    def german(self) -> str:
        return "„" + self._chance.choice(("Müller", "Groß & Söhne", "Peter\u2019s", "")) + "“"

    def line(self) -> int:
        return self._chance.randrange(1, 2000)

    def home(self) -> str:
        return self._chance.choice(
            ("/app", f"/srv/shop-{self.number()}", f"/tmp/{self.hexadecimal(8)}", "/home/ada/code")
        )


def traceback_of(varying: Varying, frames: Sequence[Frame], error_type: str, message: str) -> str:
    """As Python writes it, from the body on: each frame is entered from a library, and ends in one."""
    home = varying.home()
    lines = ["Traceback (most recent call last):"]
    for file, function in frames:
        path = f"{home}/{file}" if not file.startswith("/") else file
        lines += [f'  File "{path}", line {varying.line()}, in {function}', f"    raise_({varying.number()})"]
    return "\n".join([*lines, f"{error_type}: {message}", ""])


_LIBRARY = "/app/.venv/lib/python3.12/site-packages/httpx/_client.py"
_SSL = "/usr/lib/python3.12/ssl.py"
_CELERY = "/app/.venv/lib/python3.12/site-packages/celery/app/trace.py"

Message = Callable[[Varying], str]
CAUSES: Sequence[tuple[str, str, Message, Sequence[Frame]]] = (
    ("charge", "KeyError", lambda v: v.quoted(), [("shop/tasks.py", "charge"), ("shop/money.py", "price_of")]),
    # The same words from another place, and the same place in another task type.
    ("charge", "KeyError", lambda v: v.quoted(), [("shop/tasks.py", "charge"), ("shop/money.py", "tax_of")]),
    ("refund", "KeyError", lambda v: v.quoted(), [("shop/tasks.py", "charge"), ("shop/money.py", "price_of")]),
    ("charge", "ValueError", lambda v: f"no customer {v.uuid()} since {v.time()}", [("shop/tasks.py", "charge")]),
    ("charge", "ValueError", lambda v: f"customer {v.number()} {v.german()} has no card",
     [("shop/tasks.py", "charge")]),
    ("fetch", "httpx.ConnectTimeout", lambda v: f"{v.address()} did not answer {v.instance()} within {v.number()}.5 s",
     [("net/fetch.py", "fetch"), (_LIBRARY, "send"), (_SSL, "do_handshake")]),
    ("fetch", "httpx.HTTPStatusError", lambda v: f"Server error for url {v.url()} (request {v.hexadecimal(16)})",
     [("net/fetch.py", "fetch"), (_LIBRARY, "raise_for_status")]),
    ("report", "FileNotFoundError", lambda v: f"[Errno 2] No such file or directory: {v.path()}",
     [("reports/build.py", "build")]),
    ("report", "OSError", lambda v: f"{v.path()} is locked by process {v.number()} of {v.pod()}",
     [("reports/build.py", "build")]),
    ("mail", "smtplib.SMTPRecipientsRefused", lambda v: f"{v.mail()} was refused by {v.address()} at {v.time()}",
     [("mail/send.py", "send")]),
    ("mail", "RuntimeError", lambda v: f"message {v.ulid()} in batch {v.hexadecimal(40)} of {v.number()}",
     [(_CELERY, "trace_task"), ("mail/send.py", "send")]),
    ("sync", "ExceptionGroup", lambda v: f"{v.number()} rows differ, the first: {{{v.quoted()}: {v.number()}}}",
     [("sync/rows.py", "sync"), ("sync/rows.py", "<listcomp>"), ("sync/rows.py", "sync")]),
)  # fmt: skip


def failures(count: int, seed: int) -> list[tuple[int, Failure]]:
    """So many failures, each with the number of its cause."""
    chance = random.Random(seed)
    varying = Varying(chance)
    found = []
    for at in range(count):
        number = at % len(CAUSES)
        task_type, error_type, message_of, frames = CAUSES[number]
        message = message_of(varying)
        found.append(
            (number, Failure(task_type, error_type, message, traceback_of(varying, frames, error_type, message)))
        )
    chance.shuffle(found)
    return found
