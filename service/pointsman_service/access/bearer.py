"""Tokens of the issuer that callers show: looked through once, and known by their digest until they end."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from pointsman_service.access.issuer import Issuer, SigningKey
from pointsman_service.access.roles import Roles
from pointsman_service.access.token import digest_of
from pointsman_service.callers import Caller
from pointsman_service.errors import TokenExpired, TokenInvalid
from pointsman_service.settings import Settings

_MOST_KNOWN: Final = 10_000
_PARTS: Final = 3
_REQUIRED: Final = ("exp", "iss", "aud")


@dataclass(frozen=True, slots=True)
class _Known:
    """One that was looked through."""

    caller: Caller
    ends_at: float
    """Unix seconds on this process's clock, with what clocks may differ."""


class BearerTokens:
    """Who shows which token, for one process. One that is known costs a digest, and asks nobody."""

    def __init__(self, issuer: Issuer, roles: Roles, settings: Settings) -> None:
        self._issuer = issuer
        self._roles = roles
        self._audience = settings.oidc_audience
        self._leeway = settings.oidc_leeway_seconds
        self._known: dict[bytes, _Known] = {}
        self._revision = -1
        """Of the keys that those which are known were signed with."""
        self.verified = 0
        """How many were looked through."""

    @staticmethod
    def is_token(text: bytes) -> bool:
        """Whether it has the shape of such a token, which no key has."""
        return text.count(b".") == _PARTS - 1

    def caller_of(self, token: bytes) -> Caller | None:
        """Who shows this token; None: it has to be looked through. Raises ``TokenExpired``."""
        known = self._known.get(digest_of(token)) if self._revision == self._issuer.revision else None
        if known is None:
            return None
        if known.ends_at <= time.time():
            raise TokenExpired
        return known.caller

    async def find_caller(self, token: bytes) -> Caller:
        """The same, looked through. Raises ``TokenInvalid``, ``TokenExpired`` and ``IssuerAway``."""
        text = token.decode("latin-1")
        key = await self._issuer.key_for(key_id_of(text))
        claims = read_claims(text, key, self._issuer.url, self._audience, self._leeway)
        caller = self._roles.caller(claims)
        self.verified += 1
        self._keep(digest_of(token), _Known(caller, int(claims["exp"]) + self._leeway))
        return caller

    async def until_it_ends(self, token: bytes) -> None:
        """Return when the token has expired, or what its issuer signs with is another: it is looked through anew."""
        known = self._known.get(digest_of(token))
        if known is not None and self._revision == self._issuer.revision:
            with suppress(TimeoutError):
                async with asyncio.timeout(known.ends_at - time.time()):
                    await self._issuer.turned.wait()

    def _keep(self, digest: bytes, found: _Known) -> None:
        if self._revision != self._issuer.revision:
            # What was signed with a key that is gone is looked through anew, and then refused.
            self._known.clear()
            self._revision = self._issuer.revision
        if len(self._known) >= _MOST_KNOWN:
            now = time.time()
            over = [one for one, known in self._known.items() if known.ends_at <= now]
            for one in over or list(self._known)[: _MOST_KNOWN // 10]:
                del self._known[one]
        self._known[digest] = found


def key_id_of(token: str) -> str | None:
    """The key that a token says it was signed with; None: it names none. Raises ``TokenInvalid``."""
    import jwt

    try:
        key_id: str | None = jwt.get_unverified_header(token).get("kid")
    except jwt.PyJWTError as error:
        raise TokenInvalid from error
    return key_id


def read_claims(token: str, key: SigningKey, issuer: str, audience: Sequence[str], leeway: float) -> dict[str, Any]:
    """What a token says that was signed with this key, by this issuer for this audience, and is valid now.

    Raises ``TokenInvalid`` that says what is wrong with it, and ``TokenExpired``.
    """
    import jwt

    try:
        return jwt.decode(
            token,
            key.public,
            algorithms=list(key.algorithms),
            audience=list(audience),
            issuer=issuer,
            leeway=leeway,
            options={"require": [*_REQUIRED], "enforce_minimum_key_length": True},
        )
    except jwt.ExpiredSignatureError as error:
        raise TokenExpired from error
    except jwt.ImmatureSignatureError as error:
        raise TokenInvalid("The token is not valid yet.") from error
    except jwt.InvalidAudienceError as error:
        raise TokenInvalid("The token is for another audience.") from error
    except jwt.InvalidIssuerError as error:
        raise TokenInvalid("The token is of another issuer.") from error
    except jwt.MissingRequiredClaimError as error:
        raise TokenInvalid(f"The token lacks {error.claim}.") from error
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
        raise TokenInvalid from error
