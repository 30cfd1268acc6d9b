"""The issuer of tokens: where it is asked, and which keys it signs with.

It is asked before anybody needs it, every five minutes, and at once when a token was signed with a key that is not
known, but for all such tokens together once in ten seconds. While it is away, what it said last holds.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pydantic_core import from_json

from pointsman_service.errors import IssuerAway, TokenInvalid
from pointsman_service.loops import Loop
from pointsman_service.named_hosts import is_loopback
from pointsman_service.settings import Settings
from pointsman_service.telemetry import logger

if TYPE_CHECKING:
    import httpx

log = logger(__name__)

_REFRESH_SECONDS: Final = 300.0
_LEAST_SECONDS: Final = 10.0
"""Between two times that it is asked."""
_TIMEOUT_SECONDS: Final = 5.0
_MOST_BYTES: Final = 512 * 1024
_FEWEST_BITS: Final = 2048
"""Of an RSA key."""
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_CURVE: Final = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA", "Ed25519")}
"""Algorithms whose keys verify and do not sign: nobody who knows what the issuer shows can make a token."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One that the issuer signs with: the half that it shows."""

    id: str | None
    public: Any
    algorithms: tuple[str, ...]
    """The only ones that tokens of this key may have."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where people sign in."""

    authorization: str
    token: str
    takes_secret_in_body: bool
    """It does not take the client's secret in ``Authorization``."""


class Issuer:
    """What the configured issuer says of itself, for one process. Its loop must run."""

    def __init__(self, url: str, ca_file: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = url
        self._ca_file = ca_file
        self._clock = clock
        self._keys: Mapping[str | None, SigningKey] = {}
        self._shown: object = None
        self._asked_at = float("-inf")
        self._fault: str | None = "it was not asked yet"
        self._turn = asyncio.Lock()
        self.endpoints: Endpoints | None = None
        """None: it has not said yet."""
        self.revision = 0
        """Another one when its keys are others than before."""
        self.turned = asyncio.Event()
        """Set then, and another one is here."""
        self.asked = 0
        """How often it was asked."""
        self.loop = Loop("issuer", self.single_pass, _REFRESH_SECONDS)

    @classmethod
    def of(cls, settings: Settings) -> "Issuer | None":
        """The one of the settings; None: there is none."""
        return None if settings.oidc_issuer is None else cls(settings.oidc_issuer, settings.oidc_ca_file)

    async def key_for(self, key_id: str | None) -> SigningKey:
        """The key with this id; None: the only one. Raises ``TokenInvalid`` where it has none, and ``IssuerAway`` where
        it does not say whether it has.
        """
        found = self._keys.get(key_id)
        if found is None:
            await self.ask()
            found = self._keys.get(key_id)
        if found is not None:
            return found
        if self._fault is not None:
            raise IssuerAway
        raise TokenInvalid("The token was signed with a key that its issuer does not show.")

    async def endpoints_now(self) -> Endpoints:
        """Where people sign in. Raises ``IssuerAway`` where it has not said yet."""
        if self.endpoints is None:
            await self.ask()
        if self.endpoints is None:
            raise IssuerAway("The issuer does not say where one signs in. Try again.")
        return self.endpoints

    async def single_pass(self) -> bool:
        """Ask it. Raises ``IssuerAway`` where it does not answer."""
        await self.ask()
        if self._fault is not None:
            raise IssuerAway(f"The issuer {self.url} is of no use now: {self._fault}.")
        return False

    async def ask(self) -> None:
        """Ask it, where it was not asked in the last ten seconds. What goes wrong changes nothing that is known."""
        # Here, as in what follows: most installations have no issuer, and need no HTTP library to start.
        from httpx import HTTPError, InvalidURL

        async with self._turn:
            now = self._clock()
            if now - self._asked_at < _LEAST_SECONDS:
                return
            self._asked_at = now
            self.asked += 1
            try:
                async with asyncio.timeout(_TIMEOUT_SECONDS):
                    await self._ask()
            except (HTTPError, InvalidURL, OSError, ValueError) as error:
                # TimeoutError is an OSError.
                self._fault = f"{type(error).__name__}: {error}".rstrip(": ")
            else:
                self._fault = None

    async def _ask(self) -> None:
        """Raises ``ValueError`` in words, and errors of httpx."""
        async with client(self._ca_file) as http:
            said = await _json(http, f"{self.url.rstrip('/')}/.well-known/openid-configuration")
            if said.get("issuer") != self.url:
                raise ValueError(f"it calls itself {said.get('issuer')!r}")
            places = {
                name: self._place(said, name) for name in ("jwks_uri", "authorization_endpoint", "token_endpoint")
            }
            shown = (await _json(http, places["jwks_uri"])).get("keys")
        keys = _usable(shown if isinstance(shown, list) else [])
        if not keys:
            raise ValueError("it shows no key that can be used")
        methods = said.get("token_endpoint_auth_methods_supported")
        in_body = isinstance(methods, list) and "client_secret_basic" not in methods and "client_secret_post" in methods
        self.endpoints = Endpoints(places["authorization_endpoint"], places["token_endpoint"], in_body)
        if shown != self._shown:
            self._shown = shown
            self._keys = _by_id(keys)
            self.revision += 1
            self.turned.set()
            self.turned = asyncio.Event()
            log.info("the keys of the issuer are known", keys=len(keys))

    def _place(self, said: Mapping[str, Any], name: str) -> str:
        url = said.get(name)
        parts = urlsplit(url if isinstance(url, str) else "")
        may_be_plain = self.url.startswith("http:") and is_loopback(parts.hostname or "")
        if not isinstance(url, str) or not parts.hostname or not (parts.scheme == "https" or may_be_plain):
            raise ValueError(f"its {name} is no https URL")
        return url


def client(ca_file: Path | None) -> "httpx.AsyncClient":
    """For requests to the issuer. It follows no redirect."""
    from httpx import AsyncClient

    return AsyncClient(verify=_trusted(ca_file), timeout=_TIMEOUT_SECONDS, follow_redirects=False)


async def read_json(answer: "httpx.Response") -> dict[str, Any]:
    """The object that an answer holds. Raises ``ValueError``, also for one that is too long."""
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > _MOST_BYTES:
            raise ValueError("its answer is too long")
    found = from_json(bytes(body))
    if not isinstance(found, dict):
        raise ValueError("its answer is no object")  # noqa: TRY004 - as any other answer of no use
    return found


async def _json(http: "httpx.AsyncClient", url: str) -> dict[str, Any]:
    async with http.stream("GET", url, headers={"Accept": "application/json"}) as answer:
        if answer.status_code != HTTPStatus.OK:
            raise ValueError(f"it answers {answer.status_code}")
        return await read_json(answer)


@cache
def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    from httpx import create_ssl_context

    return create_ssl_context() if ca_file is None else ssl.create_default_context(cafile=ca_file)


def _usable(shown: Sequence[object]) -> list[SigningKey]:
    """Those that signatures are made with, of a kind that is allowed. Others are passed over, as they are told to."""
    found = [_signing_key(one) for one in shown if isinstance(one, dict) and one.get("use", "sig") == "sig"]
    return [one for one in found if one is not None]


def _signing_key(shown: dict[str, Any]) -> SigningKey | None:
    from jwt import PyJWK, PyJWTError

    kind, named = shown.get("kty"), shown.get("alg")
    allowed = _RSA if kind == "RSA" else _BY_CURVE.get(str(shown.get("crv")), ()) if kind in ("EC", "OKP") else ()
    algorithms = tuple(one for one in allowed if named is None or one == named)
    key_id = shown.get("kid")
    if not algorithms or not isinstance(key_id, str | None):
        return None
    try:
        public = PyJWK(shown, algorithms[0]).key
    except PyJWTError:
        return None
    if kind == "RSA" and public.key_size < _FEWEST_BITS:
        return None
    return SigningKey(key_id, public, algorithms)


def _by_id(keys: Sequence[SigningKey]) -> Mapping[str | None, SigningKey]:
    """A token that names no key is of the only one."""
    by_id: dict[str | None, SigningKey] = {one.id: one for one in keys}
    if len(keys) == 1:
        by_id[None] = keys[0]
    else:
        by_id.pop(None, None)
    return by_id
