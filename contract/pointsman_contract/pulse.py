"""The pulse of a process: a file that says when it last turned. ``python -m pointsman_contract.pulse`` judges it.

A health check has to be cheap and true for every role, so it asks neither the database nor the broker: a process that
waits for one of them is well, and starting it again would only cost what it has in hand. Nothing beyond the standard
library is imported, and one file belongs to one process.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from pointsman_contract.server_words import server_words

VARIABLE = "POINTSMAN_PULSE_FILE"
"""Names the file, to the process that beats and to the one that judges."""

PULSE_SECONDS = 2.0
"""Pause between two beats."""

STALE_SECONDS = 30.0
"""A process whose last beat is older is ill."""

_ANSWER_SECONDS = 3.0


class PulseFile:
    """The file of one process; with ``url`` the process is well only when that answers 200, too."""

    def __init__(self, path: Path, url: str | None = None) -> None:
        self._path = path
        self._next = path.with_name(path.name + ".new")
        self._url = url

    def beat(self) -> None:
        """Say that the process turns. Raises ``OSError`` when the file cannot be written."""
        # The monotonic clock is one for all processes of a machine, and nobody sets it.
        self._next.write_text(json.dumps({"at": time.monotonic(), "url": self._url}), encoding="utf-8")
        self._next.replace(self._path)


def ailment(path: Path, stale_seconds: float = STALE_SECONDS) -> str | None:
    """What is wrong with the process that beats in ``path``, or None when it is well."""
    try:
        pulse: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        age = time.monotonic() - float(pulse["at"])
    except FileNotFoundError:
        return f"no pulse yet: there is no {path}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"no pulse: {path} cannot be read: {type(error).__name__}"
    # Below zero it was written before the machine was started again.
    if not 0 <= age <= stale_seconds:
        return f"the last beat is {age:.0f} s old, more than {stale_seconds:g} s"
    return None if pulse["url"] is None else _silence(pulse["url"])


def _silence(url: str) -> str | None:
    from http.client import HTTPConnection, HTTPException  # slow to load, and only an API needs it
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", parts.path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{url} does not answer: {server_words(error)}"
    finally:
        connection.close()
    return None if status == 200 else f"{url} answers {status}"


def main(words: list[str]) -> int:
    """``python -m pointsman_contract.pulse [seconds]``: 0 when well, 1 when not, with the reason; 2 when there is
    no file to ask.

    ``seconds`` is how old the last beat may be, by default ``STALE_SECONDS``.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        sys.stderr.write(f"{VARIABLE} is not set\n")
        return 2
    wrong = ailment(Path(path), float(words[0]) if words else STALE_SECONDS)
    sys.stdout.write(f"{wrong or 'well'}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
