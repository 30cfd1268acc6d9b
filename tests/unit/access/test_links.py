"""What a signed link says, and that nobody else can have said it."""

from uuid import UUID

import pytest

from pointsman_service.access.links import LONGEST, Link, read, signed

TASK, OTHER, MAKER = (UUID(int=number) for number in (1, 2, 3))
SECRET = bytes(range(32))


@pytest.mark.parametrize("payloads", [True, False])
@pytest.mark.parametrize("maker", [MAKER, None])
def test_a_link_says_what_it_was_made_with(payloads: bool, maker: UUID | None) -> None:
    link = Link(TASK, 1_800_000_000, payloads, maker)
    text = signed(link, SECRET)
    assert read(text, TASK, SECRET) == link
    assert len(text) <= LONGEST
    assert text.replace("-", "a").replace("_", "a").isalnum()


def test_a_link_of_another_task_or_secret_is_none() -> None:
    text = signed(Link(TASK, 1_800_000_000, False, MAKER), SECRET)
    assert read(text, OTHER, SECRET) is None
    assert read(text, TASK, SECRET[::-1]) is None


def test_no_character_of_it_can_be_another() -> None:
    text = signed(Link(TASK, 1_800_000_000, False, MAKER), SECRET)
    for at, was in enumerate(text):
        for other in ("A", "_", chr(ord(was) + 1), chr(ord(was) - 1)):
            if other != was:
                assert read(text[:at] + other + text[at + 1 :], TASK, SECRET) is None, at


@pytest.mark.parametrize("text", ["", "x", "=" * 40, "\u00e4" * 8, "A" * 78, "A" * 2000, "a b", "a.b.c"])
def test_what_is_no_link_is_none(text: str) -> None:
    assert read(text, TASK, SECRET) is None


@pytest.mark.parametrize("cut", [1, 4, 32, 60])
def test_a_part_of_one_is_none(cut: int) -> None:
    text = signed(Link(TASK, 1_800_000_000, True, None), SECRET)
    assert read(text[:-cut], TASK, SECRET) is None
    assert read(text + text[:cut], TASK, SECRET) is None
