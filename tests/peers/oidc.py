"""A real OpenID Connect issuer: it shows its keys, lets its one person sign in, and gives tokens for their code."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.peers.http import HTTPPeer, Recorded, Reply

DISCOVERY = "/.well-known/openid-configuration"
CLIENT, SECRET, AUDIENCE = "pointsman-dashboard", "s3cret & more", "pointsman-api"
_KINDS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


def _private(algorithm: str) -> Any:
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else rsa.generate_private_key(65537, 2048)


class Key:
    """One that an issuer signs with."""

    def __init__(self, algorithm: str = "RS256", kid: str | None = None, private: Any = None) -> None:
        self.algorithm = algorithm
        self.kid = kid or secrets.token_hex(4)
        self.private = private or _private(algorithm)

    @property
    def shown(self) -> dict[str, Any]:
        """The half that everybody may see."""
        found = _KINDS[self.algorithm].to_jwk(self.private.public_key(), as_dict=True)
        return {**found, "kid": self.kid, "use": "sig"}


class Issuer(HTTPPeer):
    """Listens while its context is open. Who comes to sign in is ``person``, and is asked nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = [Key()]
        self.person: dict[str, Any] = {"sub": "ada", "roles": ["oncall"]}
        self.refuses: str | None = None
        """The error that who comes to sign in is sent back with."""
        self.spoils: dict[str, Any] = {}
        """Claims of the next ID tokens that are others than they should be."""
        self._codes: dict[str, Mapping[str, str]] = {}
        self.on(DISCOVERY, lambda _: Reply.of(self.described))
        self.on("/keys", lambda _: Reply.of({"keys": [key.shown for key in self.keys]}))
        self.on("/authorize", self._authorize)
        self.on("/token", self._token)

    @property
    def described(self) -> dict[str, Any]:
        """What it says of itself."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
        }

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(one.path == path for one in self.requests)

    def token(
        self, key: Key | None = None, *, lasts: float = 300, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token for the API, with these claims beside the usual ones; None leaves one out."""
        key = key or self.keys[0]
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "iat": now, "exp": int(now + lasts), **self.person}
        said = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(said, key.private, key.algorithm, headers={"kid": key.kid} | (header or {}))

    def away(self) -> None:
        """Answer nothing of use any more."""
        for path in (DISCOVERY, "/keys", "/token"):
            self.on(path, Reply(503))

    def _authorize(self, asked: Recorded) -> Reply:
        given = {name: values[0] for name, values in asked.query.items()}
        if given.get("client_id") != CLIENT or given.get("response_type") != "code":
            return Reply(400, b"unknown client")
        if self.refuses is not None:
            said = {"error": self.refuses}
        else:
            code = secrets.token_urlsafe(16)
            self._codes[code] = given
            said = {"code": code}
        back = urlencode({**said, "state": given["state"], "iss": self.url})
        return Reply(302, headers={"Location": f"{given['redirect_uri']}?{back}"})

    def _token(self, asked: Recorded) -> Reply:
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        scheme, _, basic = asked.headers.get("authorization", "").partition(" ")
        name, _, word = base64.b64decode(basic).decode().partition(":")
        if scheme != "Basic" or (unquote(name), unquote(word)) != (CLIENT, SECRET):
            return Reply.of({"error": "invalid_client"}, 401)
        begun = self._codes.pop(form.get("code", ""), None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest()).rstrip(b"=")
        if (
            begun is None
            or begun["code_challenge_method"] != "S256"
            or begun["code_challenge"] != proof.decode()
            or begun["redirect_uri"] != form.get("redirect_uri")
            or form.get("grant_type") != "authorization_code"
        ):
            return Reply.of({"error": "invalid_grant"}, 400)
        claims = {"aud": CLIENT, "nonce": begun["nonce"], **self.spoils}
        return Reply.of({"id_token": self.token(**claims), "access_token": "opaque", "token_type": "Bearer"})


def unsigned(token: str, **header: Any) -> str:
    """A token with another header and no signature that fits."""
    said = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return ".".join([said, *token.split(".")[1:]])
