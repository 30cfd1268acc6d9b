from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url

from pointsman_service.limits import Rate
from pointsman_service.settings import Settings


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgres://u:p%40w@db:5433/tasks", "postgresql+asyncpg://u:p%40w@db:5433/tasks"),
        ("postgresql://u@/tasks?host=/run/pg", "postgresql+asyncpg://u@/tasks?host=/run/pg"),
        ("postgresql+asyncpg://db/tasks", "postgresql+asyncpg://db/tasks"),
        ("postgres://db/tasks?sslmode=verify-full", "postgresql+asyncpg://db/tasks?ssl=verify-full"),
        ("postgres://db/tasks?host=a&sslmode=require", "postgresql+asyncpg://db/tasks?host=a&ssl=require"),
        ("postgres://u:a/b[:c@[::1]:5433/tasks", "postgresql+asyncpg://u:a/b[:c@[::1]:5433/tasks"),
    ],
)
def test_database_url_is_taken_as_providers_hand_it_out(given: str, used: str) -> None:
    settings = Settings(database_url=SecretStr(given))
    assert settings.require_database_url() == used
    assert make_url(used).get_driver_name() == "asyncpg"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("mysql://secret@db/tasks", "must start with postgresql://"),
        ("db/secret", "must start with postgresql://"),
        ("postgres://u:secret@db/tasks?sslrootcert=/ca.pem", "PGSSLROOTCERT"),
        ("postgres://db:secret/tasks", "host and port cannot be read"),
        ("postgres://u:p@w:secret@db/tasks", "host and port cannot be read"),
        ("postgres://u:secret@db:99999/tasks", "host and port cannot be read"),
    ],
)
def test_database_url_that_cannot_be_honoured_is_refused_without_its_text(given: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why) as refused:
        Settings(database_url=SecretStr(given))
    assert "secret" not in str(refused.value)


def test_a_rate_that_is_none_is_refused_in_words() -> None:
    assert Settings(caller_rate="100/60s").default_rate == Rate(100, 60, 100)
    with pytest.raises(ValidationError, match="'100/min' is no rate: it takes tasks in seconds, as 100/60s"):
        Settings(caller_rate="100/min")


def test_a_caller_has_a_weight_within_bounds() -> None:
    assert Settings(caller_weights={"billing": 2}).caller_weights == {"billing": 2.0}
    for weight in (0, 0.09, 10.1, "much"):
        with pytest.raises(ValidationError, match="caller_weights"):
            Settings(caller_weights={"billing": weight})


ISSUER = {"oidc_issuer": "https://login.example.org/realms/shop", "oidc_roles": {"oncall": "operator, payload:read"}}
ISSUER |= {"oidc_audience": "pointsman"}


def test_an_issuer_is_taken_with_what_its_roles_may() -> None:
    assert Settings(**ISSUER).oidc_roles == {"oncall": ("operator", "payload:read")}
    assert Settings(**ISSUER | {"oidc_issuer": "http://127.0.0.1:8080"}).oidc_issuer == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"oidc_roles": {}}, "oidc_roles: must say of at least one role"),
        ({"oidc_roles": {"oncall": ""}}, "oidc_roles"),
        ({"oidc_audience": ()}, "oidc_audience: must be set, or oidc_client_id"),
        ({"oidc_issuer": None}, "oidc_issuer: is missing"),
        ({"oidc_issuer": None, "oidc_audience": (), "oidc_client_id": "x"}, "oidc_issuer: is missing"),
        ({"oidc_client_id": "x", "oidc_scopes": "profile"}, "oidc_scopes"),
        ({"oidc_issuer": "http://login.example.org"}, "must be an https URL"),
        ({"oidc_issuer": "https://"}, "must be a URL with a host"),
        ({"oidc_issuer": "https://login.example.org/?realm=shop"}, "without a user, a query or a fragment"),
        ({"oidc_issuer": "https://me:secret@login.example.org"}, "without a user, a query or a fragment"),
    ],
)
def test_an_issuer_that_is_of_no_use_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why) as refused:
        Settings(**ISSUER | changes)
    assert "secret" not in str(refused.value)
