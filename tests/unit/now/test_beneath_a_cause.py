"""What stands beneath the sentence of a cause: numbers that agree, and names that say something."""

from typing import Any
from uuid import UUID

from pointsman_service.alert.kinds import Rule
from pointsman_service.now.composing import compose
from pointsman_service.now.facts import Facts, Failure, Tripped
from pointsman_service.now.picture import said
from tests.unit.now.moments import GROUP, NOW, TASK, ago, alert, links, only

BANK = "dependency:bank"
OTHER = UUID("5b0f9a52-7c1e-8d3a-9f21-0c6c3f1f9b78")


def bank(**more: Any) -> Tripped:
    fields: dict[str, Any] = {
        "scope": "dependency",
        "name": "bank",
        "seen": "open",
        "since": ago(20),
        "error": Failure("HTTPError", "503", TASK, 5),
        "retry_at": ago(-12),
        "held": 0,
    }
    return Tripped(**(fields | more))


def test_tasks_of_the_one_type_that_is_held_are_as_many_as_are_held() -> None:
    # Types are asked for less often.
    cause = only(compose(Facts(NOW, breakers=[bank(held=622, held_types={"charge": 500}, held_since=ago(19))])))

    assert said(cause.consequences[0]).startswith("622 tasks are held (622 charge), the first for 19 s;")


def also(*keys: str) -> Any:
    opened = alert(Rule.BREAKER_OPEN, BANK, link="/v1/breakers/dependency/bank", also=keys)
    return only(compose(Facts(NOW, alerts=[opened], breakers=[bank()])))


def test_an_error_that_a_cause_brought_about_is_a_link_and_no_id() -> None:
    cause = also(f"error_new:{BANK}#{GROUP}")

    assert said(cause.consequences[-1]) == "Because of it an error is new."
    assert ("error", str(GROUP)) in links(cause)


def test_several_errors_that_a_cause_brought_about_lead_to_their_list() -> None:
    cause = also(f"error_back:{BANK}#{GROUP}", f"error_back:{BANK}#{OTHER}", f"error_new:{BANK}#{OTHER}")

    assert [said(one) for one in cause.consequences[-2:]] == [
        "Because of it an error is back again.",
        "Because of it an error is new.",
    ]
    assert {("errors", None), ("error", str(OTHER))} <= links(cause)
