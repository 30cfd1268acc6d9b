"""The API of this control plane, for tasks that read figures or act on other tasks."""

from types import TracebackType
from typing import Any, Self

import httpx

from pointsman.errors import PermanentError, WorkerError
from pointsman.settings import Settings

_DETAIL_CHARACTERS = 300


class NoControlPlane(PermanentError):
    """Nothing says where the API is."""


class ControlPlaneRefused(PermanentError):
    """The API says that the request is wrong."""


class ControlPlaneAway(WorkerError):
    """The API cannot be reached, or cannot answer now."""


class ControlPlane:
    """A client of the API, to be used as a context manager. Proxies of the environment are not used."""

    def __init__(self, url: str, timeout_seconds: float, key: str | None = None) -> None:
        self.url = url
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._client = httpx.Client(base_url=url, timeout=timeout_seconds, headers=headers, trust_env=False)

    @classmethod
    def of(cls, ours: Settings, longest_seconds: float = 3600.0) -> Self:
        """By the settings, with waits of at most ``longest_seconds``. Raises ``NoControlPlane``."""
        url = ours.find_api_url()
        if url is None:
            raise NoControlPlane("set POINTSMAN_API_URL for the workers, or start ./scripts/up")
        key = None if ours.api_key is None else ours.api_key.get_secret_value()
        return cls(url, min(ours.api_timeout_seconds, longest_seconds), key)

    def __enter__(self) -> Self:
        self._client.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.__exit__(kind, error, trace)

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The JSON object at a path. Raises ``ControlPlaneAway`` or ``ControlPlaneRefused``."""
        answer = self.call("GET", path, **parameters)
        if answer.status_code != 200:
            raise ControlPlaneRefused(self._words(answer))
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ControlPlaneAway(f"{self.url}{path} answered something that is no JSON object")
        return found

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, **parameters: Any) -> httpx.Response:
        """Any answer below 500 but 429. Raises ``ControlPlaneAway``; parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            answer = self._client.request(method, path, params=given, json=body)
        except httpx.TransportError as error:
            raise ControlPlaneAway(f"{self.url}: {type(error).__name__}: {error}") from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise ControlPlaneAway(self._words(answer))
        return answer

    def _words(self, answer: httpx.Response) -> str:
        return f"{self.url} answered {answer.status_code}: {problem(answer).get('detail', '')}"[:_DETAIL_CHARACTERS]


def problem(answer: httpx.Response) -> dict[str, Any]:
    """The problem document of an answer (RFC 9457); empty when it has none."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
