"""What the roles of a token may, and who it names: from the claims of its issuer to a caller."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pointsman_service.access.rights import operations_of
from pointsman_service.access.scopes import ALL, PRESETS, KeyScope, scopes_of
from pointsman_service.callers import OIDC_PREFIX, Caller, KnownBy
from pointsman_service.errors import TokenInvalid
from pointsman_service.settings import Settings

_LONGEST_NAME: Final = 200
_EMAIL: Final = "email"


class Roles:
    """How the claims of a token are read, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        """Raises ``ValueError`` in words for a role that may what there is not."""
        self._claim = settings.oidc_roles_claim
        self._name_claim = settings.oidc_name_claim
        self._scopes = {role: _scopes(role, words) for role, words in settings.oidc_roles.items()}

    def caller(self, claims: Mapping[str, Any]) -> Caller:
        """Whom these claims name, with what all of their roles may. Raises ``TokenInvalid`` where they name nobody."""
        scopes: frozenset[KeyScope] = frozenset()
        for role in roles_in(_claim(claims, self._claim)):
            scopes |= self._scopes.get(role, frozenset())
        return caller_with(f"{OIDC_PREFIX}{self._name(claims)}", scopes)

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = _claim(claims, self._name_claim)
        if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
            raise TokenInvalid(f"The token does not name its caller in {self._name_claim}.")
        if self._name_claim == _EMAIL and claims.get("email_verified") is False:
            raise TokenInvalid("The issuer has not verified the address that names the caller.")
        return name


def caller_with(name: str, scopes: frozenset[KeyScope]) -> Caller:
    """Somebody whom the issuer knows."""
    return Caller(
        name=name,
        known_by=KnownBy.OIDC,
        acts=operations_of(scopes),
        reads_payloads=KeyScope.PAYLOAD_READ in scopes,
        scopes=frozenset(str(scope) for scope in scopes),
    )


def roles_in(value: object) -> tuple[str, ...]:
    """The roles that a claim holds: a list of them, or words in one text, as ``scope`` has them."""
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _claim(claims: Mapping[str, Any], path: str) -> object:
    """A claim by its name, else by names within one another, with dots between."""
    if path in claims:
        return claims[path]
    found: object = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _scopes(role: str, words: Iterable[str]) -> frozenset[KeyScope]:
    found: frozenset[KeyScope] = frozenset()
    for word in words:
        if word not in PRESETS and word not in ALL:
            known = ", ".join([*PRESETS, *sorted(ALL)])
            raise ValueError(f"the role {role} has {word}, which is no preset and no scope: {known}")
        found |= scopes_of(word if word in PRESETS else None, [word])
    return found
