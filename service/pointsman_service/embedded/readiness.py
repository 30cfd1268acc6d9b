"""Asks the service whether it is ready."""

import http.client
import json

from pointsman_contract.server_words import server_words
from pointsman_service.embedded.ports import HOST


class Readiness:
    """Polls ``path`` of the API and remembers what it said last, to tell when it never became ready."""

    def __init__(self, port: int, path: str) -> None:
        self.answer = "no answer"
        self._port = port
        self._path = path

    def __call__(self) -> bool:
        """Whether the answer is 200. Takes at most a second or two."""
        connection = http.client.HTTPConnection(HOST, self._port, timeout=2)
        try:
            connection.request("GET", self._path)
            response = connection.getresponse()
            self.answer = f"{response.status} {_gist(response.read(4096))}".strip()
            return response.status == 200
        except (OSError, http.client.HTTPException) as error:
            self.answer = f"no answer ({server_words(error)})"
            return False
        finally:
            connection.close()


def _gist(body: bytes) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    detail = document.get("detail") if isinstance(document, dict) else None
    return str(detail or body.decode(errors="replace"))[:300]
