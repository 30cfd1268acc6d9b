import random
import re

import pytest

from pointsman_contract.breaker_entry import (
    BLOCKS,
    PASSES,
    PROBES,
    body_of,
    encode,
    epoch_of,
    lets_pass,
    provisional_of,
)
from pointsman_contract.breaker_policy import BreakerPolicy
from pointsman_contract.catalogue import TaskTypeSpec
from pointsman_contract.dependencies import (
    GIVEN_PATTERN,
    breakers_of,
    dependency_of_url,
    folded,
    folded_key,
    is_name,
    key_of,
    named,
)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.weather.com/v1?key=secret", "api.weather.com"),
        ("https://API.Weather.com:443/", "api.weather.com"),
        ("http://api.weather.com:80", "api.weather.com"),
        ("http://api.weather.com:443", "api.weather.com"),
        ("https://Pay.Example.org.:0443/", "pay.example.org"),
        ("http://[2001:DB8:0::1]/", "2001:db8::1"),
        ("http://[::1]:8080/", "0::1:8080"),
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


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Pay.Example.org", "pay.example.org"),
        ("pay.example.org.", "pay.example.org"),
        ("pay.example.org:443", "pay.example.org"),
        ("PAY.example.org.:80", "pay.example.org"),
        ("db.example:05432", "db.example:5432"),
        ("[2001:DB8::1]:8080", "2001:db8::1:8080"),
        ("[2001:db8:0:0::1]:443", "2001:db8::1"),
        ("2001:db8:0:0::1", "2001:db8::1"),
        ("[::1]", "0::1"),
        ("SMTP", "smtp"),
        ("team:billing", "team:billing"),
    ],
)
def test_a_dependency_has_one_name_however_it_is_written(given: str, name: str) -> None:
    assert named(given) == name
    assert breakers_of("t", [given]) == ("task_type:t", f"dependency:{name}")
    assert folded_key("dependency", given) == ("dependency", name)
    assert folded_key("task_type", given) == ("task_type", given)
    spec = TaskTypeSpec(name="t", time_limit_seconds=1, dependencies=("smtp",))
    assert spec.dependencies_of([], {}, [given, name]) == tuple(dict.fromkeys(["smtp", name]))


def test_long_number_is_no_port_and_no_halt() -> None:
    # Python makes no number of so many digits.
    assert folded("smtp:" + "0" * 5000 + "25") == "smtp:25"
    assert not is_name(folded("smtp:" + "1" * 5000))


def test_folding_a_name_again_changes_nothing() -> None:
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    for _ in range(3000):
        given = "".join(chance.choices("aA1:.0-48fF@", k=chance.randrange(1, 12)))
        if is_name(given):
            assert is_name(folded(given)), f"seed {seed}: {given}"
            assert folded(folded(given)) == folded(given), f"seed {seed}: {given}"


@pytest.mark.parametrize("text", ["", "a b", "...", "[", "[::1", "smtp\n", None, 7])
def test_what_cannot_be_a_name_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a dependency"):
        named(text)


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


@pytest.mark.parametrize(
    ("address", "is_one"),
    [
        ("[::]", True),
        ("[::1]:8080", True),
        ("[::FFFF:192.0.2.128]", True),
        ("[::1:2:3:4:5:6:7]", True),
        ("[::1:2:3:4:5:6:7:8]", False),
        ("[::1:2:3:4:5:6:1.2.3.4]", False),
        ("[::1.2.3.256]", False),
        ("[:d7eaD77A6E3fc]", False),
        ("[.fb.7c4A]", False),
        ("[2001:db8::1]", True),
    ],
)
def test_an_address_in_brackets_fits_the_pattern_when_it_is_one(address: str, is_one: bool) -> None:
    assert (re.fullmatch(GIVEN_PATTERN, address) is not None) == is_one
    assert can_be_named(address) == is_one


def can_be_named(text: str) -> bool:
    try:
        named(text)
    except ValueError:
        return False
    return True


def test_whatever_fits_the_pattern_can_be_named() -> None:
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    fitting = 0
    for _ in range(5000):
        inner = "".join(chance.choices("::1F.", k=chance.randrange(1, 12)))
        given = chance.choice([inner, f"[{inner}]", f"[::{inner}]", f"[{inner}]:{chance.randrange(99_999)}"])
        if re.fullmatch(GIVEN_PATTERN, given):
            fitting += 1
            assert can_be_named(given), f"seed {seed}: {given}"
    assert fitting > 100, f"seed {seed}"
