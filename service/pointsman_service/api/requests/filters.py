"""What lists are narrowed to: names that must exist, and tags that may hold colons."""

from collections.abc import Sequence

from pointsman_service.admit.names import unknown_names
from pointsman_service.api.parts import Parts
from pointsman_service.errors import FieldError, InvalidRequest

MOST_ATTEMPTS = 32_767
LONGEST_HELD_REASON = 300
"""Characters: the longest name of a circuit breaker, with its scope."""
LONGEST_WORKER = 400
"""Characters: of a name as the recorder takes it, with its life."""
_LONGEST_TAG_NAME = 64
TAG_PATTERN = rf"^[^\x00]{{1,{_LONGEST_TAG_NAME}}}:[^\x00]*$"


async def refuse_unknown(parts: Parts, *, queue: str | None, task_type: str | None) -> None:
    """For a filter that has found nothing. Raises ``InvalidRequest`` when a name in it does not exist."""
    faults = await unknown_names(parts.catalogue, parts.settings.topology, queue=queue, task_type=task_type)
    if faults:
        raise InvalidRequest(
            errors=[FieldError(pointer=f"/query{fault['pointer']}", detail=fault["detail"]) for fault in faults]
        )


def readings_of_tags(given: Sequence[str], faults: list[FieldError]) -> list[list[dict[str, str]]]:
    """Each ``name:value``, in every way it can be read: names and values may hold colons themselves."""
    readings = []
    values: dict[str, str] = {}
    for pair in given:
        colons = [at for at, letter in enumerate(pair[: _LONGEST_TAG_NAME + 1]) if letter == ":" and at]
        found = [{pair[:at]: pair[at + 1 :]} for at in colons]
        if not found or "\x00" in pair:
            faults.append(FieldError(pointer="/query/tag", detail="must be name:value"))
            continue
        if len(found) == 1:
            ((name, value),) = found[0].items()
            if values.setdefault(name, value) != value:
                faults.append(FieldError(pointer="/query/tag", detail=f"no task has two values of {name}"))
        readings.append(found)
    return readings
