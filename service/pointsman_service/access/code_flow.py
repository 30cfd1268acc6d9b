"""Sign-in with the issuer: the authorization code flow of OpenID Connect, with PKCE (RFC 7636), state and nonce.

Nothing of a sign-in that was begun is kept here: the browser keeps it, so that any process may finish it.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from pointsman_service.access.bearer import key_id_of, read_claims
from pointsman_service.access.issuer import Endpoints, Issuer, client, read_json
from pointsman_service.access.roles import Roles
from pointsman_service.callers import Caller
from pointsman_service.errors import IssuerAway, SignInFailed
from pointsman_service.settings import Settings
from pointsman_service.telemetry import logger

log = logger(__name__)

KEPT_SECONDS: Final = 600.0
"""So long a sign-in that was begun may take."""
_LONGEST_BACK: Final = 1500
_ERROR: Final = re.compile(r"[a-z_]{1,60}")


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that was begun."""

    url: str
    """Where the browser goes next."""
    kept: str
    """What it brings back for ``finish``: a secret of this browser."""


class CodeFlow:
    """For one process."""

    def __init__(self, issuer: Issuer, roles: Roles, settings: Settings) -> None:
        """``settings`` have an ``oidc_client_id``."""
        assert settings.oidc_client_id is not None
        self._issuer = issuer
        self._roles = roles
        self._client_id = settings.oidc_client_id
        secret = settings.oidc_client_secret
        self._secret = None if secret is None else secret.get_secret_value()
        self._scopes = settings.oidc_scopes
        self._ca_file = settings.oidc_ca_file
        self._leeway = settings.oidc_leeway_seconds
        self.name = urlsplit(issuer.url).hostname or issuer.url
        """Of the issuer, for people."""

    async def begin(self, redirect_uri: str, back: str) -> Begun:
        """Send a browser to the issuer, which sends it to ``redirect_uri``; ``back``: where it goes on in the end.

        Raises ``IssuerAway``.
        """
        endpoints = await self._issuer.endpoints_now()
        state, nonce, verifier = token_urlsafe(24), token_urlsafe(24), token_urlsafe(48)
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": self._scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": _unpadded(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        parts = urlsplit(endpoints.authorization)
        query = "&".join(part for part in (parts.query, urlencode(asked)) if part)
        kept = ".".join([state, nonce, verifier, _unpadded(back.encode() if len(back) <= _LONGEST_BACK else b"")])
        return Begun(urlunsplit(parts._replace(query=query)), kept)

    async def finish(self, redirect_uri: str, kept: str, said: Mapping[str, str]) -> tuple[Caller, str]:
        """Who signed in, and where they go on. ``said``: the parameters that the issuer sent the browser back with.

        Raises ``SignInFailed`` that says why in words, ``TokenInvalid``, ``TokenExpired`` and ``IssuerAway``.
        """
        state, nonce, verifier, back = _unpacked(kept)
        if not hmac.compare_digest(state.encode(), said.get("state", "").encode()):
            raise SignInFailed("This is not the sign-in that this browser began last.")
        if said.get("iss", self._issuer.url) != self._issuer.url:
            raise SignInFailed("Another issuer than ours answered.")
        if "error" in said:
            reason = said["error"] if _ERROR.fullmatch(said["error"]) else "it does not say why"
            raise SignInFailed(f"The issuer lets nobody in: {reason}.")
        given = await self._exchange(redirect_uri, verifier, said.get("code", ""))
        caller = self._roles.caller(await self._claims(given.get("id_token"), nonce))
        if not caller.scopes:
            raise SignInFailed(f"You are known as {caller.name}, and none of your roles may anything here.")
        return caller, back

    async def _exchange(self, redirect_uri: str, verifier: str, code: str) -> dict[str, Any]:
        from httpx import HTTPError

        endpoints = await self._issuer.endpoints_now()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Accept": "application/json"}
        form, headers = self._with_secret(endpoints, form, headers)
        try:
            async with (
                client(self._ca_file) as http,
                http.stream("POST", endpoints.token, data=form, headers=headers) as answer,
            ):
                status, said = answer.status_code, await read_json(answer)
        except (HTTPError, OSError, ValueError) as error:
            log.warning("the issuer gave no token for a code", reason=type(error).__name__)
            raise IssuerAway("The issuer does not answer. Try again.") from None
        if status != HTTPStatus.OK:
            named = str(said.get("error"))
            reason = named if _ERROR.fullmatch(named) else str(status)
            log.warning("the issuer gave no token for a code", reason=reason)
            raise SignInFailed(f"The issuer did not take its own code: {reason}. Sign in again.")
        return said

    def _with_secret(
        self, endpoints: Endpoints, form: dict[str, str], headers: dict[str, str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        if self._secret is None:
            return form | {"client_id": self._client_id}, headers
        if endpoints.takes_secret_in_body:
            return form | {"client_id": self._client_id, "client_secret": self._secret}, headers
        pair = f"{quote(self._client_id, safe='')}:{quote(self._secret, safe='')}"
        return form, headers | {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    async def _claims(self, token: object, nonce: str) -> Mapping[str, Any]:
        if not isinstance(token, str):
            raise SignInFailed("The issuer does not say who signed in: it gave no ID token.")
        key = await self._issuer.key_for(key_id_of(token))
        claims = read_claims(token, key, self._issuer.url, (self._client_id,), self._leeway)
        if claims.get("azp", self._client_id) != self._client_id:
            raise SignInFailed("The issuer gave a token of another client.")
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
            raise SignInFailed("The issuer gave a token of another sign-in.")
        return claims


def _unpacked(kept: str) -> tuple[str, str, str, str]:
    parts = kept.split(".")
    if len(parts) != 4 or not all(parts[:3]):
        raise SignInFailed("No sign-in was begun in this browser, or it took too long. Begin again.")
    state, nonce, verifier, back = parts
    try:
        return state, nonce, verifier, base64.urlsafe_b64decode(back + "=" * (-len(back) % 4)).decode()
    except (binascii.Error, ValueError):
        return state, nonce, verifier, ""


def _unpadded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
