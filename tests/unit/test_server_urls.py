import pytest
from redis.connection import parse_url

from pointsman_contract.server_urls import check_redis_url, with_password


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://cache",
        "redis://cache:6379/",
        "redis://u:p%2Fw@cache:6379/1",
        "rediss://[::1]:6380/2?ssl_cert_reqs=none",
        "redis://cache?db=3",
        "unix:///run/redis.sock",
        "unix://:pw@/run/redis.sock?db=4",
    ],
)
def test_address_that_redis_reads_is_taken(url: str) -> None:
    check_redis_url(url)
    parse_url(url)  # type: ignore[no-untyped-call]  # redis-py


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://secret", "must start with redis://"),
        ("redis://:secret/word@cache/0", "host and port cannot be read"),
        ("redis://secret:99999/0", "host and port cannot be read"),
        ("redis://[secret/0", "host and port cannot be read"),
        ("redis://cache/secret", "database by number"),
        ("redis://cache/0/secret", "database by number"),
        ("redis://cache/-1", "database by number"),
        ("redis://cache?db=secret", "database by number"),
        ("unix:///run/redis.sock?db=secret", "database by number"),
    ],
)
def test_address_that_no_client_could_use_is_refused_without_its_text(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        check_redis_url(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "user"),
    [
        ("redis://cache:6379/1", None),
        ("redis://", None),
        ("rediss://worker@[::1]:6380/2?ssl_cert_reqs=none", "worker"),
        ("redis://@cache", None),
        ("unix:///run/redis.sock?db=4", None),
    ],
)
def test_password_beside_an_address_arrives_as_it_is(url: str, user: str | None) -> None:
    password = "p@ss/w:rd?#% \u00e4"
    without = dict(parse_url(url))  # type: ignore[no-untyped-call]  # redis-py
    found = dict(parse_url(with_password(url, password)))  # type: ignore[no-untyped-call]  # redis-py
    assert found == without | {"password": password} | ({"username": user} if user else {})
    check_redis_url(with_password(url, password))
    assert with_password(url, None) == url
