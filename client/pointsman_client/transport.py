"""The API as the terminal asks it: a path, and JSON."""

from collections.abc import Iterator

from pointsman_client.answer import Answer, JsonObject
from pointsman_client.calling.call import EVENT_STREAM, Call, encode
from pointsman_client.calling.documents import document_of
from pointsman_client.errors import DeadlineOver, NeverSent, Unreachable
from pointsman_client.place import Place
from pointsman_client.wire import Hold, LetGo, Lines, Wire


class Transport:
    """Connections to an API, kept open between requests; for one thread, and another that may hang up.

    Every call ends within ``seconds``, whatever the server does; only looking up its host takes what the system gives
    it.
    """

    def __init__(self, place: Place, seconds: float = 5.0) -> None:
        self.place = place
        self._seconds = seconds
        self._wire = Wire(place)
        self._hold: Hold | None = None
        self._lines: Lines | None = None
        self._is_hung_up = False

    def __enter__(self) -> "Transport":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections. The next call opens another."""
        self._wire.close()
        self._wire = Wire(self.place)

    def hang_up(self) -> None:
        """End the call of another thread: it raises ``Unreachable``, or its events end. The next call connects anew."""
        self._is_hung_up = True
        hold, lines = self._hold, self._lines
        if hold is not None:
            hold.let_go()
        if lines is not None:
            lines.hang_up()

    def get(self, path: str) -> JsonObject:
        """What is at ``path``, with its query. Raises ``Unreachable`` and ``Refused``."""
        call = Call(path, "GET", path)
        try:
            return _object(self._send(call))
        except (NeverSent, DeadlineOver):
            raise
        except Unreachable:
            # A connection that was idle may be gone, and only a request finds out.
            return _object(self._send(call))

    def post(self, path: str, document: JsonObject, once: str | None = None) -> JsonObject:
        """The answer to an act, which is not tried again by itself; ``once`` is its ``Idempotency-Key``. Raises
        ``Unreachable`` (then it may have been done) and ``Refused``.
        """
        headers = {} if once is None else {"Idempotency-Key": once}
        return _object(self._send(Call(path, "POST", path, headers, encode(document))))

    def events(self, path: str, silence_seconds: float) -> Iterator[str]:
        """The names of server-sent events as they come, one for each; a comment is an empty name. Ends when the server
        ends it. Raises ``Refused``, and ``Unreachable`` after ``silence_seconds`` without a word.
        """
        call = Call(path, "GET", path, {"Cache-Control": "no-store"}, accept=EVENT_STREAM)
        try:
            self._lines = self._wire.open(call, self._seconds)
            yield ""
            name = "message"
            while (line := self._lines.next(silence_seconds)) is not None:
                if line.startswith("event:"):
                    name = line[6:].strip()
                elif line.startswith(":"):
                    yield ""
                elif line.startswith("data:"):
                    yield name
                elif not line:
                    name = "message"
        finally:
            lines, self._lines = self._lines, None
            if lines is not None:
                lines.close()
            self.close()

    def _send(self, call: Call) -> Answer:
        self._hold = Hold()
        if self._is_hung_up:
            self._is_hung_up = False
            self.close()
        try:
            return self._wire.send(call, self._seconds, self._hold)
        except LetGo:
            raise Unreachable("it was hung up") from None
        finally:
            self._hold = None


def _object(answer: Answer) -> JsonObject:
    return dict(document_of(answer))
