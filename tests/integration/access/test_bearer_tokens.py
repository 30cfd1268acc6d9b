"""Callers who show a token of an OpenID Connect issuer."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from pointsman_service.access import issuer as issuers
from pointsman_service.access.bearer import BearerTokens
from pointsman_service.access.issuer import Issuer
from pointsman_service.access.roles import Roles
from pointsman_service.errors import IssuerAway, KeyNameTaken, TokenExpired, TokenInvalid
from pointsman_service.front.callers import KnownCallers
from pointsman_service.settings import Settings
from tests.integration.access.keyed import Keyed
from tests.integration.spine import Spine
from tests.peers import oidc
from tests.peers.http import Reply
from tests.peers.oidc import AUDIENCE, DISCOVERY, Key

ROLES = {"oncall": "operator", "reader": ("viewer", "payload:read"), "maker": ("tasks:submit",)}


@pytest.fixture
def peer() -> Iterator[oidc.Issuer]:
    with oidc.Issuer() as peer:
        yield peer


def settings_of(peer: oidc.Issuer, **changes: Any) -> dict[str, Any]:
    return {"oidc_issuer": peer.url, "oidc_audience": (AUDIENCE,), "oidc_roles": ROLES} | changes


@pytest.fixture
async def keyed(keyed: Keyed, spine: Spine, peer: oidc.Issuer) -> Keyed:
    """An installation that knows the issuer, too."""
    return Keyed(spine, **settings_of(peer))


async def answered(keyed: Keyed, token: str, path: str = "/v1/tasks") -> tuple[int, str]:
    async with keyed.caller(token) as api:
        answer = await api.get(path)
    said = answer.json() if answer.status_code != 200 else {}
    return answer.status_code, said.get("type", "").rpartition(":")[2]


async def test_a_token_opens_what_its_roles_say_and_its_caller_is_named(keyed: Keyed, peer: oidc.Issuer) -> None:
    async with keyed.caller(peer.token()) as api:
        made = await api.post("/v1/tasks", json={"task_type": "mine", "args": [1], "tags": {"a": "b"}})
        assert made.status_code == 202, made.text
        assert await keyed.spine.rows("SELECT caller FROM task_live") == [{"caller": "oidc:ada"}]
        # An operator sees no payloads, and no keys.
        assert (await api.get(f"/v1/tasks/{made.json()['id']}")).json()["masked"] == ["args", "tags"]
        refused = await api.get("/v1/keys")
        assert (refused.status_code, refused.json()["scope"]) == (403, "keys:read")
        assert refused.json()["detail"] == "The roles of the token lack the scope keys:read, which this takes."
        assert 'scope="keys:read"' in refused.headers["www-authenticate"]
        assert (await api.post("/v1/queues/email/pause", json={"reason": "why"})).status_code == 200
    (row,) = await keyed.spine.rows("SELECT actor, caller FROM audit WHERE act = 'pause_queue'")
    assert row == {"actor": "oidc:ada", "caller": "oidc:ada"}


async def test_roles_add_up_and_others_open_nothing(keyed: Keyed, peer: oidc.Issuer) -> None:
    async with keyed.caller(peer.token(roles=["reader", "maker", "stranger"])) as api:
        made = await api.post("/v1/tasks", json={"task_type": "mine", "args": [1]})
        assert (await api.get(f"/v1/tasks/{made.json()['id']}")).json()["args"] == [1]
    assert await answered(keyed, peer.token(roles=["stranger"])) == (403, "scope-missing")
    assert await answered(keyed, peer.token(roles=None)) == (403, "scope-missing")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_each_kind_of_key_is_taken(keyed: Keyed, peer: oidc.Issuer, algorithm: str) -> None:
    peer.keys = [Key(algorithm), Key("ES256")]
    assert await answered(keyed, peer.token()) == (200, "")


async def test_what_is_wrong_with_a_token_is_said(keyed: Keyed, peer: oidc.Issuer) -> None:
    now = int(time.time())
    good = peer.token()
    other = Key(kid=peer.keys[0].kid)
    refused = {
        "the clock": (peer.token(exp=now - 31), "token-expired", "expired"),
        "too soon": (peer.token(nbf=now + 60), "token-invalid", "not valid yet"),
        "elsewhere": (peer.token(aud="another"), "token-invalid", "another audience"),
        "no audience": (peer.token(aud=None), "token-invalid", "lacks aud"),
        "stranger": (peer.token(iss="https://elsewhere.example"), "token-invalid", "another issuer"),
        "endless": (peer.token(exp=None), "token-invalid", "lacks exp"),
        "nobody": (peer.token(sub=None), "token-invalid", "does not name its caller in sub"),
        "a name of two lines": (peer.token(sub="ada\nroot"), "token-invalid", "does not name its caller"),
        "forged": (peer.token(other), "token-invalid", "no token of the"),
        "edited": (good[:-6] + ("aaaaaa" if good[-6:] != "aaaaaa" else "bbbbbb"), "token-invalid", "no token of the"),
        "unsigned": (oidc.unsigned(good, alg="none", kid=peer.keys[0].kid), "token-invalid", "no token of the"),
        "a public key as a secret": (_by_public_key(peer), "token-invalid", "no token of the"),
        "unknown key": (peer.token(Key()), "token-invalid", "does not show"),
        "no JSON": ("a.b.c", "token-invalid", "no token of the"),
        "no token": ("pm_nothing", "key-unknown", "no key"),
    }
    for what, (token, code, said) in refused.items():
        async with keyed.caller(token) as api:
            answer = await api.get("/v1/tasks")
        assert (answer.status_code, answer.json()["type"]) == (401, f"urn:pointsman:problem:{code}"), what
        assert said in answer.json()["detail"], what
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], what
    assert await answered(keyed, peer.token(exp=now - 20)) == (200, ""), "within what clocks may differ"


def _by_public_key(peer: oidc.Issuer) -> str:
    """Signed by everybody: with what the issuer shows as the secret of an HMAC."""
    shown = (
        peer.keys[0]
        .private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head, body, _ = oidc.unsigned(peer.token(), alg="HS256", kid=peer.keys[0].kid).split(".")
    mac = hmac.new(shown, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


async def test_a_thousand_calls_with_one_token_look_through_it_once_and_ask_nobody(
    keyed: Keyed, peer: oidc.Issuer
) -> None:
    tokens, token = keyed.parts.tokens, peer.token().encode()
    assert isinstance(tokens, BearerTokens)
    assert await answered(keyed, token.decode()) == (200, "")
    asked, began = len(peer.requests), time.perf_counter()
    assert {tokens.caller_of(token).name for _ in range(1000)} == {"oidc:ada"}  # type: ignore[union-attr]
    assert (time.perf_counter() - began) / 1000 <= 0.0003
    assert [await answered(keyed, token.decode()) for _ in range(3)] == [(200, "")] * 3
    assert (tokens.verified, len(peer.requests)) == (1, asked)


async def test_an_issuer_that_is_away_keeps_nobody_out_whose_key_is_known(keyed: Keyed, peer: oidc.Issuer) -> None:
    known = peer.token()
    assert await answered(keyed, known) == (200, "")
    peer.away()
    keyed.parts.issuer._asked_at = float("-inf")
    with pytest.raises(IssuerAway, match="503"):
        await keyed.parts.issuer.single_pass()
    assert await answered(keyed, known) == (200, "")
    assert await answered(keyed, peer.token(sub="grace")) == (200, "")
    async with keyed.caller(peer.token(Key())) as api:
        answer = await api.get("/v1/tasks")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:pointsman:problem:issuer-away")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_key_that_is_new_is_asked_for_at_once_and_strangers_make_nobody_ask(peer: oidc.Issuer) -> None:
    clock = [1000.0]
    issuer = Issuer(peer.url, clock=lambda: clock[0])
    tokens = BearerTokens(issuer, Roles(Settings(**settings_of(peer))), Settings(**settings_of(peer)))
    old = peer.token().encode()
    await tokens.find_caller(old)
    assert issuers._LEAST_SECONDS == 10.0
    stream = asyncio.create_task(tokens.until_it_ends(old))
    peer.keys = [Key("ES256")]
    clock[0] += 10.1
    made = await asyncio.gather(*(tokens.find_caller(peer.token(sub=f"p{n}").encode()) for n in range(50)))
    assert len({one.name for one in made}) == 50
    assert (issuer.asked, peer.asked(DISCOVERY)) == (2, 2)
    strangers = await asyncio.gather(
        *(tokens.find_caller(peer.token(Key("ES256")).encode()) for _ in range(50)), return_exceptions=True
    )
    assert {type(one).__name__ for one in strangers} == {"TokenInvalid"}
    assert issuer.asked == 2
    # What was signed with the key that is gone is refused, though it was known.
    async with asyncio.timeout(30):
        await stream
    assert tokens.caller_of(old) is None
    clock[0] += 10.1
    with pytest.raises(Exception, match="does not show"):
        await tokens.find_caller(old)
    assert issuer.asked == 3


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"issuer": "https://elsewhere.example"}, "calls itself"),
        ({"jwks_uri": "http://elsewhere.example/keys"}, "its jwks_uri is no https URL"),
        ({"jwks_uri": "{url}/oct"}, "no key that can be used"),
        ({"token_endpoint": None}, "its token_endpoint is no https URL"),
        ({"jwks_uri": "{url}/long"}, "too long"),
        ({"jwks_uri": "{url}/moved"}, "answers 302"),
    ],
)
async def test_an_issuer_that_says_what_cannot_be_is_not_believed(
    peer: oidc.Issuer, changes: dict[str, Any], fault: str
) -> None:
    said = {name: value.format(url=peer.url) if value else value for name, value in changes.items()}
    peer.on(DISCOVERY, Reply.of(peer.described | said))
    weak = {"kty": "oct", "k": "c2VjcmV0", "kid": peer.keys[0].kid}
    short = {"kty": "RSA", "n": base64.urlsafe_b64encode(b"\xff" * 128).decode().rstrip("="), "e": "AQAB", "kid": "s"}
    peer.on("/oct", Reply.of({"keys": [weak, short, {"kty": "EC"}, "no key"]}))
    peer.on("/long", Reply(200, json.dumps({"keys": [" " * 600_000]}).encode()))
    peer.on("/moved", Reply(302, headers={"Location": f"{peer.url}/keys"}))
    with pytest.raises(IssuerAway, match=fault):
        await Issuer(peer.url).single_pass()


async def test_a_stream_ends_with_its_token(keyed: Keyed, peer: oidc.Issuer) -> None:
    tokens = keyed.parts.tokens
    token = peer.token(exp=int(time.time()) - 29).encode()
    await tokens.find_caller(token)
    async with asyncio.timeout(10):
        await tokens.until_it_ends(token)
    with pytest.raises(TokenExpired):
        tokens.caller_of(token)


async def test_what_was_waited_for_is_not_told_to_a_token_whose_key_is_gone(keyed: Keyed, peer: oidc.Issuer) -> None:
    issuer = keyed.parts.issuer
    assert issuer is not None
    callers = KnownCallers(keyed.ring, Settings(keys_required=True), keyed.parts.tokens)
    fields = {b"authorization": f"Bearer {peer.token()}".encode()}
    await callers.find(fields)
    peer.keys = [*peer.keys, Key("ES256")]
    for _ in range(2):
        issuer._asked_at = float("-inf")
        await issuer.single_pass()
        assert callers.of(fields, "/v1/tasks") is None
        with nullcontext() if len(peer.keys) == 2 else pytest.raises(TokenInvalid):
            await callers.check_still(fields, "/v1/tasks")
        peer.keys = peer.keys[1:]


async def test_no_key_has_a_name_that_a_token_may_have(keyed: Keyed) -> None:
    with pytest.raises(KeyNameTaken):
        await keyed.key("oidc:ada", preset="viewer")


async def test_without_an_issuer_a_token_is_a_key_that_nobody_has(spine: Spine, peer: oidc.Issuer) -> None:
    plain = Keyed(spine)
    await plain.key("ops", preset="admin")
    assert await answered(plain, peer.token()) == (401, "key-unknown")
    assert peer.requests == []
