"""The API of this control plane, for tasks that read figures or act on other tasks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pointsman.errors import PermanentError, WorkerError
from pointsman.settings import Settings
from pointsman_client.errors import ClientError, NoSuchPlace, Refused

if TYPE_CHECKING:
    from pointsman_client.sync.client import Client

_DETAIL_CHARACTERS = 300
_RETRIES = 1
"""Of a call within its time: beyond that the task is tried again, and holds no process meanwhile."""
_LATER = (408, 425, 429)


class NoControlPlane(PermanentError):
    """Nothing says where the API is, or it cannot be there."""


class ControlPlaneRefused(PermanentError):
    """The API says that the request is wrong."""


class ControlPlaneAway(WorkerError):
    """The API cannot be reached, or cannot answer now."""


@contextmanager
def control_plane(ours: Settings, longest_seconds: float = 3600.0) -> Iterator["Client"]:
    """The client of the API that the settings name, each of whose calls ends within ``longest_seconds`` and within
    ``api_timeout_seconds``. Raises ``NoControlPlane``, and ``ControlPlaneAway`` or ``ControlPlaneRefused`` for what a
    call in the block raises.
    """
    # Here, so that a node starts without it: it takes as long to load as all of a small project.
    from pointsman_client.sync.client import Client

    url = ours.find_api_url()
    if url is None:
        raise NoControlPlane("set POINTSMAN_API_URL for the workers, or start ./scripts/up")
    key = None if ours.api_key is None else ours.api_key.get_secret_value()
    try:
        client = Client(url, key, timeout=min(ours.api_timeout_seconds, longest_seconds), retries=_RETRIES)
    except NoSuchPlace as error:
        raise NoControlPlane(f"POINTSMAN_API_URL: {error}") from None
    with client:
        try:
            yield client
        except Refused as error:
            said = f"{url} answered {error.status}: {error}"[:_DETAIL_CHARACTERS]
            # What answers with something else than ours may be a proxy whose service is away.
            is_final = 400 <= error.status < 500 and error.status not in _LATER
            raise (ControlPlaneRefused if is_final else ControlPlaneAway)(said) from None
        except ClientError as error:
            raise ControlPlaneAway(f"{url}: {error}"[:_DETAIL_CHARACTERS]) from None
