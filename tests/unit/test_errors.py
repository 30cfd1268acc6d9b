import pytest

from pointsman_service.errors import OutcomeUnknown, PointsmanError, UnknownTask


def test_the_first_paragraph_of_the_docstring_is_the_detail_in_one_line() -> None:
    detail = OutcomeUnknown(task_id="x").detail
    assert detail.startswith("The connection broke during the commit")
    assert detail.endswith("with an Idempotency-Key.")
    assert "  " not in detail
    assert "\n" not in detail


def test_a_detail_of_its_own_takes_its_place() -> None:
    assert UnknownTask("gone").detail == "gone"


@pytest.mark.parametrize("kind", PointsmanError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_a_code_and_a_title_of_its_own(kind: type[PointsmanError]) -> None:
    assert kind.status != PointsmanError.status
    assert kind.code != PointsmanError.code
    assert kind.title != PointsmanError.title
