"""One call over HTTP as a task makes it: bounded, guarded, its failures sorted into permanent and not."""

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from pointsman.errors import PermanentError
from pointsman.outbound.answers import (
    HTTPStatusError,
    HTTPStatusPermanent,
    is_expected,
    may_change,
    retry_after_seconds,
)
from pointsman.outbound.client import guarded_client
from pointsman.settings import settings
from pointsman_contract.dependencies import dependency_of_url

_EXCERPT_BYTES = 500


class UnsupportedURL(PermanentError):
    """The URL is not one of http or https with a host and without a user."""


class RequestNotValid(PermanentError):
    """What was to be sent is no HTTP."""


class ResponseTooLarge(PermanentError):
    """The body of the answer is longer than was allowed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An expected answer."""

    status: int
    headers: httpx.Headers
    content: bytes
    """As it came: not decompressed."""


class CallingTask(Protocol):
    """What calls need of the task that makes them; ``pointsman.ManagedTask`` has it."""

    def calling(self, dependency: str) -> AbstractContextManager[None]:
        """What is raised inside is the failure of that dependency."""
        ...

    def retry(self, *, exc: Any = None, countdown: Any = None) -> Any:
        """End the attempt, and say when the next one is due."""
        ...


class Outbound:
    """Calls of one task. Times are in seconds."""

    def __init__(self, task: CallingTask, *, connect_seconds: float, read_seconds: float) -> None:
        self._task = task
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        json: Any = None,
        expected: Collection[int] | None = None,
        response_bytes: int = 1024 * 1024,
        connect_seconds: float | None = None,
        read_seconds: float | None = None,
        total_seconds: float = 40.0,
    ) -> Answer:
        """The answer when its status is one of ``expected``, by default any 2xx. The host is a dependency of the task
        (``ManagedTask.calling``).

        Raises ``BreakerOpen`` when nothing may be sent there now. Raises ``TargetRefused``, ``UnsupportedURL``,
        ``RequestNotValid``, ``ResponseTooLarge`` and ``HTTPStatusPermanent``, which end the task; ``HTTPStatusError``
        and ``httpx.TransportError``, which are retried by the task's policy. A status that may change and comes with
        ``Retry-After`` is retried then.
        """
        client = guarded_client(
            connect_seconds=connect_seconds or self._connect_seconds,
            read_seconds=read_seconds or self._read_seconds,
            total_seconds=total_seconds,
            allowed=settings().allow_private_targets,
        )
        with client, self._calling(url):
            request = _request(client, method, url, headers, params, content, json)
            try:
                answer = client.send(request, stream=True)
            except httpx.LocalProtocolError as error:
                raise RequestNotValid(str(error)) from None
            try:
                if not is_expected(answer.status_code, expected):
                    self._refuse(request, answer)
                return Answer(answer.status_code, answer.headers, _read(answer, response_bytes))
            finally:
                answer.close()

    def _calling(self, url: str) -> AbstractContextManager[None]:
        host = dependency_of_url(url)
        return nullcontext() if host is None else self._task.calling(host)

    def _refuse(self, request: httpx.Request, answer: httpx.Response) -> None:
        status = answer.status_code
        words = f"{request.method} {request.url.host} answered {status} {answer.reason_phrase}: {_excerpt(answer)}"
        if not may_change(status):
            raise HTTPStatusPermanent(words)
        error = HTTPStatusError(words)
        wait = retry_after_seconds(answer.headers)
        if wait is not None:
            raise self._task.retry(exc=error, countdown=wait)
        raise error


def _request(
    client: httpx.Client,
    method: str,
    url: str,
    headers: Mapping[str, str] | None,
    params: Mapping[str, Any] | None,
    content: bytes | None,
    json: Any,
) -> httpx.Request:
    # No message holds the URL: its query may be a secret.
    try:
        target = httpx.URL(url)
        if target.scheme not in ("http", "https") or not target.host:
            raise UnsupportedURL("only http and https URLs with a host can be called")
        # The resolver would take the rest of a division for it.
        if target.port is not None and not 0 < target.port < 65536:
            raise UnsupportedURL(f"{target.port} is not a port")
        if target.userinfo:
            raise UnsupportedURL("the URL holds a user or a password: send an Authorization header instead")
        if params:
            target = target.copy_merge_params(params)
        return client.build_request(method, target, headers=headers, content=content, json=json)
    except httpx.InvalidURL as error:
        raise UnsupportedURL(f"the URL cannot be read: {error}") from None
    except (ValueError, TypeError) as error:
        raise RequestNotValid(f"the request cannot be sent: {error}") from None


def _read(answer: httpx.Response, most_bytes: int) -> bytes:
    promised = answer.headers.get("content-length", "")
    if promised.isdigit() and int(promised) > most_bytes and answer.request.method != "HEAD":
        raise ResponseTooLarge(f"the answer's body has {promised} bytes, {most_bytes} are allowed")
    content = bytearray()
    # Raw: a small compressed body could fill the memory.
    for chunk in answer.iter_raw():
        content += chunk
        if len(content) > most_bytes:
            raise ResponseTooLarge(f"the answer's body is longer than {most_bytes} bytes")
    return bytes(content)


def _excerpt(answer: httpx.Response) -> str:
    content = b""
    try:
        for chunk in answer.iter_raw():
            content += chunk
            if len(content) >= _EXCERPT_BYTES:
                break
    except httpx.HTTPError:
        content = content or b"(its body did not arrive)"
    return content[:_EXCERPT_BYTES].decode(errors="replace")
