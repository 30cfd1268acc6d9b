"""Whether a caller may do what an operation does."""

from pointsman_service.access.rights import RIGHTS
from pointsman_service.access.scopes import KeyScope
from pointsman_service.callers import Caller, KnownBy
from pointsman_service.errors import KeyMissing, ScopeMissing


def check_right(caller: Caller, operation: str) -> None:
    """Raises ``KeyMissing`` for who is not known, and ``ScopeMissing`` that names the scope that the caller lacks."""
    if caller.may(operation):
        return
    scope = RIGHTS[operation].scope
    if scope is not None:
        _refuse(caller, scope)


def check_scope(caller: Caller, scope: KeyScope) -> None:
    """Likewise, of a scope."""
    if caller.scopes is not None and scope not in caller.scopes:
        _refuse(caller, scope)


def _refuse(caller: Caller, scope: KeyScope) -> None:
    if caller.known_by is KnownBy.NOTHING:
        raise KeyMissing
    raise ScopeMissing.of(scope, roles=caller.known_by is KnownBy.OIDC)
