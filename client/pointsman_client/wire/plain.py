"""Calls of the standard library alone, for who ends before httpx2 has been loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from pointsman_client.answer import Answer
from pointsman_client.calling.call import Call
from pointsman_client.errors import DeadlineOver, NeverSent, Unreachable
from pointsman_client.place import Place
from pointsman_client.wire.clock import Clock, current, under
from pointsman_client.wire.message import CHUNK, answer_of, bounded, headers_of
from pointsman_client.wire.sockets import NO_HTTP, TOLD, NoConnection, connected, told


class PlainWire:
    """One connection to a place of ``http://``, for one thread; a call after the other."""

    def __init__(self, place: Place) -> None:
        parts = urlsplit(place.url)
        self._prefix = parts.path
        self._headers = headers_of(place)
        self._connection = _Connection(parts.hostname or "", parts.port or 80)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def send(self, call: Call, seconds: float) -> Answer:
        """Make the call once. Raises ``Refused``, ``NeverSent``, ``DeadlineOver`` and ``Unreachable``."""
        with under(Clock(seconds)), self._as_ours():
            own = {"Accept": call.accept} | ({} if call.body is None else {"Content-Type": "application/json"})
            self._connection.request(
                call.method, self._prefix + call.path, call.body, self._headers | own | dict(call.headers)
            )
            response = self._connection.getresponse()
            read = bytearray()
            while chunk := response.read(CHUNK):
                read += chunk
                bounded(read, response.status)
            if response.length:
                raise Unreachable(NO_HTTP)
            return answer_of(response.status, dict(response.getheaders()), bytes(read))

    @contextmanager
    def _as_ours(self) -> Iterator[None]:
        try:
            yield
        except NoConnection as error:
            words = "no connection in time" if isinstance(error.reason, TimeoutError) else _told(error.reason)
            raise NeverSent(words) from None
        except TimeoutError:
            self.close()
            raise DeadlineOver(TOLD[TimeoutError]) from None
        except HTTPException:
            self.close()
            raise Unreachable(NO_HTTP) from None
        except OSError as error:
            self.close()
            raise Unreachable(_told(error)) from None


class _Connection(HTTPConnection):
    def connect(self) -> None:
        self.sock = connected(self.host, self.port, _Socket)


class _Socket(socket):
    """Obeys the clock of the call that uses it."""

    def recv_into(self, *given: Any) -> int:
        self._set()
        return super().recv_into(*given)

    def sendall(self, *given: Any) -> None:
        self._set()
        super().sendall(*given)

    def _set(self) -> None:
        left = current.get().left
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)


def _told(error: OSError) -> str:
    return told(error) or error.strerror or str(error) or "the connection was lost"
