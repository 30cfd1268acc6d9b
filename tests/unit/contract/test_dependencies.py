import pytest

from contract.breaker_entry import BLOCKS, PASSES, PROBES, body_of, encode, epoch_of, lets_pass, provisional_of
from contract.breaker_policy import BreakerPolicy
from contract.catalogue import TaskTypeSpec
from contract.dependencies import breakers_of, dependency_of_url, is_name, key_of


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.weather.com/v1?key=secret", "api.weather.com"),
        ("https://API.Weather.com:443/", "api.weather.com"),
        ("http://api.weather.com:80", "api.weather.com"),
        ("http://api.weather.com:443", "api.weather.com:443"),
        ("https://user:secret@db.example.org:5432/x", "db.example.org:5432"),
        ("https://b\u00fccher.example/", "xn--bcher-kva.example"),
        ("http://[2001:db8::1]:8080/", "2001:db8::1:8080"),
    ],
)
def test_the_host_of_a_url_is_a_dependency_without_its_default_port(url: str, name: str) -> None:
    assert dependency_of_url(url) == name


@pytest.mark.parametrize("url", [None, 7, "", "no url", "http://", "http://a b/", "http://host:99999/", "http://[::1/"])
def test_what_leads_nowhere_is_no_dependency(url: object) -> None:
    assert dependency_of_url(url) is None


def test_names_have_letters_digits_and_a_few_signs() -> None:
    assert is_name("smtp")
    assert is_name("api.weather.com:8443")
    assert not any(map(is_name, ["", " smtp", "smtp\n", "a/b", "x" * 201, 7, None]))


def test_a_task_belongs_to_the_breakers_of_its_type_and_of_what_it_depends_on() -> None:
    breakers = breakers_of("odd:name", ["smtp", "db:5432"])
    assert breakers == ("task_type:odd:name", "dependency:smtp", "dependency:db:5432")
    assert [key_of(breaker) for breaker in breakers] == [
        ("task_type", "odd:name"),
        ("dependency", "smtp"),
        ("dependency", "db:5432"),
    ]


def test_dependencies_come_from_the_type_the_submission_and_the_url_each_once() -> None:
    spec = TaskTypeSpec(
        name="call", time_limit_seconds=1, dependencies=("smtp",), url_argument="url", positional=("method", "url")
    )
    assert spec.dependencies_of(["GET", "https://a.example/"], {}, ["db", "smtp"]) == ("smtp", "db", "a.example")
    assert spec.dependencies_of([], {"url": "https://a.example/"}, []) == ("smtp", "a.example")
    assert spec.dependencies_of([], {}, []) == ("smtp",)


def test_an_entry_says_who_passes() -> None:
    body = body_of(BreakerPolicy(), "half_open", None, {"task-1": 5.0}, 2)
    assert lets_pass(None, "task-1")
    assert lets_pass(encode(PASSES, 3, body), "task-2")
    assert not lets_pass(encode(BLOCKS, 3, body), "task-1")
    assert lets_pass(encode(PROBES, 3, body), "task-1")
    assert not lets_pass(encode(PROBES, 3, body), "task-2")


def test_an_entry_says_its_epoch_and_what_opened_it() -> None:
    body = body_of(BreakerPolicy(recovery_timeout=30), "open", 7.5, {}, 1)
    assert body["wait"] == 60, "the second opening in a row"
    assert epoch_of(encode(BLOCKS, 12, body)) == 12
    assert provisional_of(encode(BLOCKS, 12, body)) is None
    assert provisional_of(encode(BLOCKS, 12, {**body, "provisional": "3/17-1"})) == (3, "17-1")
