"""Which circuit breaker a path names."""

from typing import Annotated

from fastapi import Depends, Path

from pointsman_contract.catalogue import MAX_NAME, NAME_IN_PATH
from pointsman_contract.dependencies import NAME_PATTERN, folded_key, is_name
from pointsman_service.api.breakers.view import Scope
from pointsman_service.api.parts import GivenCaller, GivenParts
from pointsman_service.api.requests import paths  # noqa: F401 - the convertor of names
from pointsman_service.errors import (
    BodyTooLarge,
    DatabaseAway,
    FieldError,
    InvalidRequest,
    MalformedJson,
    NotFound,
    TooManyBreakers,
    UnknownWorker,
    UnsupportedMediaType,
)
from pointsman_service.store.breakers.breakers import Key

Name = Annotated[
    str,
    Path(
        pattern=NAME_IN_PATH,
        max_length=MAX_NAME,
        description="Letters, digits and ._:@+- only, of an IPv6 address also brackets; of a task type, whatever its"
        " name is. A dependency `Pay.Example.org.:443` is `pay.example.org`.",
    ),
]
BODY_PROBLEMS = (
    MalformedJson,
    NotFound,
    UnknownWorker,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidRequest,
    TooManyBreakers,
    DatabaseAway,
)


def key_of_path(scope: Scope, name: Name) -> Key:
    """The key of a breaker, whose name is folded if it is a dependency's. Raises ``InvalidRequest`` or ``NotFound``:
    only task types have names as they please.
    """
    if scope != Scope.TASK_TYPE and "/" in name:
        raise NotFound
    key = folded_key(str(scope), name)
    if scope != Scope.TASK_TYPE and not is_name(key[1]):
        raise InvalidRequest(errors=[FieldError(pointer="/path/name", detail=f"does not match {NAME_PATTERN}")])
    return key


GivenKey = Annotated[Key, Depends(key_of_path)]
"""A parameter of an endpoint: a breaker that may not be known yet."""


async def key_of_a_thing(key: GivenKey, parts: GivenParts, caller: GivenCaller) -> Key:
    """The key of a breaker that may be made. Raises ``NotFound`` for a task type or a worker that is none; a dependency
    may be called anything.
    """
    await parts.breaker_hand.check_guarded(caller, key)
    return key


GuardedKey = Annotated[Key, Depends(key_of_a_thing)]
"""A parameter of an endpoint that makes a breaker which is not known yet."""


async def key_of_a_known_one(key: GivenKey, parts: GivenParts, caller: GivenCaller) -> Key:
    """The key of a breaker, or of what was never heard of but is known to be there. Raises ``NotFound`` that names
    those which are like it.
    """
    await parts.breaker_hand.check_known(caller, key)
    return key


KnownKey = Annotated[Key, Depends(key_of_a_known_one)]
"""A parameter of an endpoint that has nothing to do where nothing is known."""
