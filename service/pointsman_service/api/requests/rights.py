"""Whether who asks may do what an operation does: one place for all routes of the API."""

from collections.abc import Mapping
from typing import Any, Final, cast

from fastapi import Request

from pointsman_service.access.checking import check_right
from pointsman_service.access.rights import RIGHTS, Names
from pointsman_service.access.scopes import KeyScope
from pointsman_service.api.parts import Parts, caller_of, parts_of
from pointsman_service.api.requests.ids import id_of
from pointsman_service.callers import Caller, KnownBy
from pointsman_service.errors import OutsideKey, ScopeMissing, UnknownReplay, UnknownTaskAct
from pointsman_service.store.tasks import reading
from pointsman_service.telemetry import client_address

_METRICS: Final = "get_prometheus_metrics"
_BODY: Final = "pointsman.body_must_name"
"""In the scope of a request: whether its body must name what it is about, where it may name it at all."""


async def may_do_this(request: Request) -> None:
    """A dependency of every router, before all others. Raises ``KeyMissing``, ``ScopeMissing`` and ``OutsideKey``."""
    caller = caller_of(request)
    client_address.set(None if request.client is None else request.client.host)
    if caller.acts is None:
        return
    operation = request.scope["route"].operation_id
    if operation is None or (operation == _METRICS and parts_of(request).settings.metrics_open):
        return
    check_right(caller, operation)
    if caller.task_id is not None and id_of(request.path_params.get("task_id", "")) != caller.task_id:
        raise OutsideKey("This link opens another task.")
    if caller.is_narrowed:
        await _check_reach(request, caller, RIGHTS[operation].names)


async def _check_reach(request: Request, caller: Caller, names: Names) -> None:
    parts, path = parts_of(request), request.path_params
    if names is Names.NOTHING:
        raise _outside(caller, "it is about everything")
    if names in (Names.BODY, Names.TASK):
        request.scope[_BODY] = names is Names.BODY
    if names is Names.QUERY:
        _check_named(caller, request.query_params)
    elif names is Names.QUEUE:
        _check_named(caller, {"queue": path["name"]})
    elif names is Names.TASK_TYPE:
        _check_named(caller, {"task_type": path["name"]})
    elif names in (Names.BREAKER, Names.CALL):
        if path["scope"] == "task_type":
            _check_named(caller, {"task_type": path["name"]})
        elif names is Names.BREAKER:
            raise _outside(caller, "a circuit breaker of a dependency holds tasks of all types")
    else:
        await _check_stored(parts, caller, names, path)


async def _check_stored(parts: Parts, caller: Caller, names: Names, path: Mapping[str, str]) -> None:
    """What is not there is left to the operation, which says so."""
    wanted: Mapping[str, Any] | None = None
    if names is Names.TASK:
        task_id = id_of(path["task_id"])
        if task_id is not None:
            async with parts.store.statement() as connection:
                wanted = await reading.kind_of(connection, task_id)
    elif names is Names.TASK_ACT:
        act_id = id_of(path["act_id"])
        if act_id is not None:
            wanted = await _filter_of_act(parts, act_id)
    elif names is Names.REPLAY:
        replay_id = id_of(path["replay_id"])
        if replay_id is not None:
            wanted = await _filter_of_replay(parts, replay_id)
    if wanted is not None:
        _check_named(caller, wanted)


async def _filter_of_act(parts: Parts, act_id: Any) -> Mapping[str, Any] | None:
    try:
        return (await parts.many.find(act_id)).act.wanted
    except UnknownTaskAct:
        return None


async def _filter_of_replay(parts: Parts, replay_id: Any) -> Mapping[str, Any] | None:
    try:
        return cast(Mapping[str, Any], (await parts.replayer.find(replay_id))["wanted"])
    except UnknownReplay:
        return None


def check_payload_filter(caller: Caller, *asked: object) -> None:
    """Who may not see payloads cannot find out by asking for them, either. Raises ``ScopeMissing``."""
    if not caller.reads_payloads and any(one is not None for one in asked):
        raise ScopeMissing.of(KeyScope.PAYLOAD_READ, roles=caller.known_by is KnownBy.OIDC)


def check_body(scope: Any, value: Any) -> None:
    """Whether a body is within what its narrowed caller reaches. Raises ``OutsideKey``."""
    must = scope.get(_BODY)
    if must is None or not isinstance(value, Mapping):
        return
    caller = cast(Caller, scope["caller"])
    if must:
        _check_named(caller, value)
    elif value.get("queue") is not None:
        _check_named(caller, {"queue": value["queue"]}, only=("queue",))


def _check_named(caller: Caller, named: Mapping[str, Any], only: tuple[str, ...] = ("task_type", "queue")) -> None:
    for what, own in (("task_type", caller.task_types), ("queue", caller.queues)):
        if own is None or what not in only:
            continue
        value = named.get(what)
        if not isinstance(value, str) or value not in own:
            said = f"it names no {what}" if value is None else f"its {what} is another"
            raise _outside(caller, said)


def _outside(caller: Caller, why: str) -> OutsideKey:
    reach = [
        f"{what} {', '.join(sorted(own))}"
        for what, own in (("the task types", caller.task_types), ("the queues", caller.queues))
        if own is not None
    ]
    return OutsideKey(f"This key reaches only {' on '.join(reach)}, and this is outside: {why}.")
