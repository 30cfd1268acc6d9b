"""What the claims of a token come to."""

from typing import Any

import pytest

from pointsman_service.access.roles import Roles, roles_in
from pointsman_service.access.scopes import PRESETS, Preset
from pointsman_service.errors import TokenInvalid
from pointsman_service.settings import Settings


def roles(**more: Any) -> Roles:
    given = {"oncall": "operator,payload:read", "reader": ["viewer"]}
    return Roles(Settings(oidc_issuer="https://login.example.org", oidc_client_id="x", oidc_roles=given, **more))


def test_roles_add_up() -> None:
    caller = roles().caller({"sub": "ada", "roles": ["oncall", "reader", 7]})
    assert caller.name == "oidc:ada"
    assert caller.scopes == frozenset({*map(str, PRESETS[Preset.OPERATOR]), "payload:read"})
    assert caller.reads_payloads
    assert caller.may("pause_queue")
    assert not caller.may("create_key")
    assert not caller.is_narrowed


@pytest.mark.parametrize(
    ("value", "found"),
    [(["a", "b"], ("a", "b")), ("a b", ("a", "b")), (None, ()), ({"a": 1}, ()), (7, ()), ([["a"]], ())],
)
def test_a_claim_of_roles_is_a_list_or_words(value: object, found: tuple[str, ...]) -> None:
    assert roles_in(value) == found


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["reader"]}}),
        ("https://example.org/roles", {"https://example.org/roles": ["reader"]}),
        ("scope", {"scope": "openid reader"}),
    ],
)
def test_the_claim_may_stand_within_others_or_have_dots_in_its_name(claim: str, claims: dict[str, Any]) -> None:
    assert roles(oidc_roles_claim=claim).caller({"sub": "ada"} | claims).may("list_tasks")
    assert not roles(oidc_roles_claim=f"{claim}.deeper").caller({"sub": "ada"} | claims).may("list_tasks")


def test_the_name_may_stand_elsewhere_and_an_address_must_be_verified() -> None:
    by_mail = roles(oidc_name_claim="email")
    assert by_mail.caller({"email": "ada@example.org", "email_verified": True}).name == "oidc:ada@example.org"
    with pytest.raises(TokenInvalid, match="not verified"):
        by_mail.caller({"email": "ada@example.org", "email_verified": False})


@pytest.mark.parametrize("name", [None, "", " ", 7, "a\x00b", "a\nb", "x" * 201])
def test_a_name_that_names_nobody_is_refused(name: object) -> None:
    with pytest.raises(TokenInvalid, match="in sub"):
        roles().caller({"sub": name})


def test_a_right_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="the role oncall has operater, which is no preset and no scope"):
        Roles(
            Settings(oidc_issuer="https://login.example.org", oidc_client_id="x", oidc_roles={"oncall": ("operater",)})
        )
