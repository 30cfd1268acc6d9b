"""What pydantic found, in one line."""

import pytest
from pydantic import BaseModel, ValidationError

from pointsman_contract.validation import first_fault


class Letter(BaseModel):
    to: list[str]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"to": ["a", 5]}, "to.1: Input should be a valid string"),
        ({}, "to: Field required"),
        ("secret", "the letter: Input should be a valid dictionary or instance of Letter"),
    ],
)
def test_first_fault_is_told_with_its_place_and_without_the_value(given: object, told: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Letter.model_validate(given)
    assert first_fault(raised.value, "the letter") == told
