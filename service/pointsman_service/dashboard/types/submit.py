"""Submit a task of a type: by a form made from its schema, or as JSON."""

from collections.abc import Mapping
from typing import Any, Final

import uuid_utils

from pointsman_service.admit.submission import Submission, parse_submission
from pointsman_service.dashboard.asking import Ask
from pointsman_service.dashboard.components.json_given import json_given
from pointsman_service.dashboard.links import place
from pointsman_service.dashboard.page import Done, Undo, View
from pointsman_service.dashboard.types.fields import MORE, PREFIX, Asked, asked_of, given_by
from pointsman_service.dashboard.types.here import page
from pointsman_service.errors import BodyTooLarge, FieldError, InvalidRequest, NotFound, PointsmanError
from pointsman_service.observe import task_types
from pointsman_service.observe.task_types import PublishedType

RIGHT: Final = "submit_task"
"""To make a task: no act, so it has the name of its operation."""
_AS_JSON: Final = "json"
_TEN_YEARS: Final = 10 * 366 * 86_400.0
_TEXTS: Final[Mapping[str, tuple[type, str, str]]] = {
    "args": (list, "[]", "must be a JSON array: […]"),
    "kwargs": (dict, "{}", "must be a JSON object: {…}"),
}


@page.shows("{name}/submit")
async def show_form(ask: Ask) -> View:
    """The form, empty."""
    return await _form(ask, None)


@page.acts("{name}/submit", RIGHT)
async def submit(ask: Ask) -> Done | View:
    """A task of it, checked as any other."""
    found = await _type(ask)
    asked = _asked(ask, found)
    try:
        args, kwargs = _arguments(ask, found, asked)
        body: dict[str, Any] = {"task_type": found.spec.name, "args": args, "kwargs": kwargs}
        if ask.form.get("queue"):
            body["queue"] = ask.form["queue"]
        if ask.form.get("priority"):
            body["priority"] = ask.whole("priority", 0, 10)
        if ask.form.get("delay_seconds", "").strip():
            body["delay_seconds"] = ask.number("delay_seconds", 0, _TEN_YEARS)
        submission = parse_submission(body, Submission)
        accepted = await ask.parts.submitter.submit(ask.caller, submission, ask.key(), None)
    except (InvalidRequest, BodyTooLarge) as error:
        return await _form(ask, error, found)
    undo = Undo(place("tasks", accepted.task_id, "cancel"), {"how": "waiting"}, "Cancel it")
    return Done(text=f"Submitted: {found.spec.name}.", path=place("tasks", accepted.task_id), undo=undo)


async def _form(ask: Ask, error: PointsmanError | None, found: PublishedType | None = None) -> View:
    found = found or await _type(ask)
    asked, spec = _asked(ask, found), found.spec
    faults = _faults(error, found, asked)
    own = {"queue", "priority", "delay_seconds", *({MORE, *(one.key for one in asked.fields)} if asked else _TEXTS)}
    return View(
        template="types/submit.html",
        title=f"submit {spec.name}",
        status=200 if error is None else error.status,
        values={
            "spec": spec,
            "asked": asked,
            "right": RIGHT,
            "form": ask.form,
            "faults": faults,
            "told": [(name.removeprefix(PREFIX), name if name in own else None, why) for name, why in faults.items()],
            "more": MORE,
            "has_fields": asked_of(spec) is not None,
            "action": ask.links("types", spec.name, "submit", **{"as": None if asked else _AS_JSON}),
            "other": ask.links("types", spec.name, "submit", **{"as": _AS_JSON if asked else None}),
            "queues": [queue.name for queue in ask.parts.settings.topology.queues],
            "priorities": [str(number) for number in range(10, -1, -1)],
            "key": ask.form.get("key") or str(uuid_utils.uuid7()),
            "texts": {name: ask.form.get(name, empty) for name, (_, empty, _) in _TEXTS.items()},
        },
    )


async def _type(ask: Ask) -> PublishedType:
    found = await task_types.find(ask.parts.store, ask.names["name"])
    if found is None:
        raise NotFound("No worker has published a task type of this name.")
    return found


def _asked(ask: Ask, found: PublishedType) -> Asked | None:
    """None: JSON was asked for, or nothing else can say it."""
    return None if ask.query.get("as") == _AS_JSON else asked_of(found.spec)


def _arguments(ask: Ask, found: PublishedType, asked: Asked | None) -> tuple[list[Any], dict[str, Any]]:
    """Raises ``InvalidRequest`` that names each argument at fault."""
    most_deep = ask.parts.settings.json_depth
    if asked is not None:
        given = given_by(asked, found.spec, ask.form, most_deep)
        if given.faults:
            raise InvalidRequest(
                errors=[FieldError(pointer=_escaped(name), detail=why) for name, why in given.faults.items()]
            )
        return given.args, given.kwargs
    values: dict[str, Any] = {}
    faults = []
    for name, (kind, empty, rule) in _TEXTS.items():
        try:
            values[name] = json_given(ask.form.get(name, "").strip() or empty, most_deep)
        except ValueError as error:
            faults.append(FieldError(pointer=f"/{name}", detail=str(error)))
        else:
            if not isinstance(values[name], kind):
                faults.append(FieldError(pointer=f"/{name}", detail=rule))
    if faults:
        raise InvalidRequest(errors=faults)
    return values["args"], values["kwargs"]


def _escaped(name: str) -> str:
    return f"/kwargs/{name.replace('~', '~0').replace('/', '~1')}" if name != MORE else f"/{MORE}"


def _faults(error: PointsmanError | None, found: PublishedType, asked: Asked | None) -> dict[str, str]:
    """What is wrong by the field it is in: an argument, or one of the form's own; empty for what is of none."""
    if error is None:
        return {}
    said: dict[str, list[str]] = {}
    for fault in error.errors or [FieldError(pointer="", detail=error.detail)]:
        parts = [one.replace("~1", "/").replace("~0", "~") for one in fault["pointer"].split("/")[1:]]
        name, within = (parts[0], parts[1:]) if parts else ("", [])
        if asked is not None and name == "kwargs" and within:
            name, within = PREFIX + within[0], within[1:]
        elif asked is not None and name == "args" and within:
            place_of = int(within[0]) if within[0].isdigit() else -1
            positional = found.spec.positional
            name, within = (PREFIX + positional[place_of] if 0 <= place_of < len(positional) else ""), within[1:]
        deeper = f"at {'/'.join(within)}: " if within else ""
        said.setdefault(name, []).append(deeper + fault["detail"])
    return {name: "; ".join(details) for name, details in said.items()}
