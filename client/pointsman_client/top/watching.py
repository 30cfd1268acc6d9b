"""Reads an API as long as somebody watches: in the background, with one connection for answers and one for the bell."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from pointsman_client.errors import ClientError, Refused, Unreachable
from pointsman_client.place import Place
from pointsman_client.top.seen import NOW, Answer, Connection, Seen, as_of
from pointsman_client.transport import Transport

BELL = "/v1/tasks/events"
"""The stream that says that something has changed."""
_SECONDS = 1.0
"""Between two readings of the first page, at least."""
_QUIET_SECONDS = 2.5
"""Between two of them while the bell is silent."""
_OTHERS_SECONDS = 3.0
"""Between two of anything else."""
_SILENCE_SECONDS = 40.0
"""A stream says something every 15 seconds, be it that it has nothing to say."""
_BACKOFF_SECONDS = 0.5
_MAX_BACKOFF_SECONDS = 8.0
_NO_BELL = frozenset((404, 405, 406, 422))
"""What an API that has no such stream answers."""


def backoff_seconds(failures: int, jitter: float) -> float:
    """How long to wait after so many failures in a row: doubled each time, with ``jitter`` (0 to 1) a fifth more."""
    return min(_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 10), _MAX_BACKOFF_SECONDS) * (1 + jitter / 5)


def _again_after(failures: int) -> float:
    return backoff_seconds(failures, random.random())  # noqa: S311 - nothing secret


class Reader:
    """One pass after the other, each of bounded work; for one thread."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._failures = 0
        self._due: dict[str, float] = {}
        self.seen = Seen(transport.place.url)

    def single_pass(self, paths: tuple[str, ...], *, streaming: bool) -> float:
        """Read the first page, and of ``paths`` what has not been read lately. Seconds until the next pass."""
        try:
            document = self._transport.get(NOW)
        except ClientError as error:
            return self._lost(error)
        self._failures = 0
        mono = time.monotonic()
        moment = as_of(document)
        self.seen = replace(
            self.seen,
            answers=self._kept(paths) | {NOW: Answer(document, mono)},
            connection=Connection(streaming=streaming),
            as_of=moment,
            as_of_since=self.seen.as_of_since if moment == self.seen.as_of else mono,
        )
        for path in paths:
            if self._due.get(path, 0.0) <= mono:
                self._read(path)
        return _QUIET_SECONDS if streaming else _SECONDS

    def _kept(self, paths: tuple[str, ...]) -> dict[str, Answer]:
        # What nobody looks at any more is let go.
        self._due = {path: due for path, due in self._due.items() if path in paths}
        return {path: answer for path, answer in self.seen.answers.items() if path in paths}

    def _read(self, path: str) -> None:
        before = self.seen.answers.get(path)
        mono = time.monotonic()
        self._due[path] = mono + _OTHERS_SECONDS
        try:
            answer = Answer(self._transport.get(path), mono)
        except ClientError as error:
            known = {} if before is None else before.document
            answer = Answer(known, mono if before is None else before.got, str(error))
        self.seen = replace(self.seen, answers={**self.seen.answers, path: answer})

    def _lost(self, error: ClientError) -> float:
        self._failures += 1
        asked = error.retry_after_seconds if isinstance(error, Refused) else None
        seconds = max(_again_after(self._failures), min(asked or 0.0, _MAX_BACKOFF_SECONDS))
        mono = time.monotonic()
        since = self.seen.connection.lost_since
        self.seen = replace(
            self.seen, connection=Connection(mono if since is None else since, str(error), mono + seconds)
        )
        return seconds

    def read_again(self) -> None:
        """Everything is due."""
        self._due = {}

    def hang_up(self) -> None:
        """End what is under way, from another thread."""
        self._transport.hang_up()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


class Watcher:
    """Keeps ``seen`` fresh until it is stopped, and calls ``changed`` from its own threads whenever it is another."""

    def __init__(self, place: Place, changed: Callable[[], None]) -> None:
        self._reader = Reader(Transport(place))
        self._bell = Transport(place)
        self._changed = changed
        self._paths: tuple[str, ...] = ()
        self._wake, self._asked = threading.Event(), threading.Event()
        self._stopped = threading.Event()
        self._streaming = False
        self._threads = [
            threading.Thread(target=run, name=f"pointsman-{name}", daemon=True)
            for name, run in (("answers", self._read), ("bell", self._listen))
        ]

    @property
    def seen(self) -> Seen:
        """What has been read until now."""
        return self._reader.seen

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, within a second."""
        self._stopped.set()
        self._wake.set()
        self._bell.hang_up()
        self._reader.hang_up()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(1.0)

    def look_at(self, paths: tuple[str, ...]) -> None:
        """What else is shown; it is read at once."""
        if paths != self._paths:
            self._paths = paths
            self._ask()

    def read_again(self) -> None:
        """Read everything now."""
        self._reader.read_again()
        self._ask()

    def _ask(self) -> None:
        self._asked.set()
        self._wake.set()

    def _read(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            seconds = self._reader.single_pass(self._paths, streaming=self._streaming)
            self._changed()
            self._pause(began, seconds)
        self._reader.close()

    def _pause(self, began: float, seconds: float) -> None:
        """Until the next pass is due or asked for, or the bell has rung, which counts once a second."""
        until = began + seconds
        while not self._stopped.is_set() and (left := until - time.monotonic()) > 0:
            if not self._wake.wait(left):
                return
            self._wake.clear()
            if self._asked.is_set():
                self._asked.clear()
                return
            until = min(until, began + _SECONDS)

    def _listen(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            try:
                for name in self._bell.events(BELL, _SILENCE_SECONDS):
                    self._streaming, failures = True, 0
                    if name and not self._stopped.is_set():
                        self._wake.set()
            except Refused as error:
                if error.status in _NO_BELL:
                    return
            except Unreachable:
                pass
            self._streaming = False
            failures += 1
            self._stopped.wait(_again_after(failures))
