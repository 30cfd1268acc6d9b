from uuid import uuid4

import pytest

from pointsman_contract.message import delivery_tag, sending_of


def test_a_tag_of_ours_names_its_task_and_sending() -> None:
    task = str(uuid4())
    assert sending_of(delivery_tag(task, 12).encode()) == (task, 12)


@pytest.mark.parametrize("number", [str(2**31), "9" * 30, "9" * 5000, "-1", "01", "1_0", " 1"])
def test_a_tag_with_a_number_that_no_sending_has_names_nothing(number: str) -> None:
    assert sending_of(f"{uuid4()}.{number}".encode()) is None


@pytest.mark.parametrize("tag", [b"", b".", b"6b0bdc9b-0f52-4f3c-8d8f-0e7c7a9a4c11", b"x.1", b"\xff.1"])
def test_a_tag_of_somebody_else_names_nothing(tag: bytes) -> None:
    assert sending_of(tag) is None
