"""What comes of a stream, as lines."""

import re

from pointsman_client.errors import Refused

MOST_BYTES = 64 * 1024 * 1024
"""Of one answer, and of one line of a stream."""
_ENDS = re.compile(rb"\r\n|\n|\r")


class Cutter:
    """Cuts bytes into lines as event streams end them (WHATWG HTML): by LF, CR or both, and by nothing else. Text may
    hold other characters that end lines elsewhere. What comes after the last end is no line.
    """

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._length = 0
        self._after_cr = False

    def take(self, chunk: bytes) -> list[str]:
        """The lines that it ends. Raises ``Refused`` for one that is longer than any."""
        if self._after_cr:
            chunk, self._after_cr = chunk.removeprefix(b"\n"), not chunk
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        first, *others = _ENDS.split(chunk)
        self._begun.append(first)
        self._length += len(first)
        if self._length > MOST_BYTES:
            raise Refused("what answers there is no Pointsman: a line of it is longer than any", status=200)
        if not others:
            return []
        lines = [b"".join(self._begun), *others[:-1]]
        self._begun, self._length = [others[-1]], len(others[-1])
        return [line.decode(errors="replace") for line in lines]
