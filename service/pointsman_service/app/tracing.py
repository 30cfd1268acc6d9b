"""Whether this process makes spans."""

from collections.abc import Collection

from pointsman_contract.configuration import BadConfiguration
from pointsman_service.settings import Settings
from pointsman_service.tracing import Tracing


def make_tracing(settings: Settings, roles: Collection[str]) -> Tracing | None:
    """The spans of a process with these roles; None, and nothing of it is loaded, unless the setting is on. Raises
    ``BadConfiguration`` when what it needs is not installed.
    """
    if not settings.tracing:
        return None
    # It brings FastAPI, which is nothing to a process that has no API and makes no spans.
    from pointsman_service.api.problems.translation import as_error

    name = "pointsman" if len(roles) > 1 else f"pointsman-{next(iter(roles))}"
    try:
        return Tracing(name, lambda error: as_error(error).status)
    except ImportError as error:
        raise BadConfiguration(
            f"tracing needs what is not installed here ({error.name}): pip install 'pointsman-service[otel]'"
        ) from error
