import binascii
import random
import re
import string

import pytest

from pointsman_service.access.token import ALPHABET, PATTERN, digest_of, is_token, new_token, shown


def test_a_new_key_is_like_no_other_and_known_for_one() -> None:
    made = {new_token() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"pm_[0-9A-Za-z]{38}", token) and is_token(token.encode()) for token in made)
    assert all(re.fullmatch(PATTERN, token) for token in made)


def test_its_last_six_are_a_crc_32_in_base_62_as_scanners_work_it_out() -> None:
    """Another check would be no typo's and no scanner's, and would lock out every key that was made."""
    assert is_token(b"pm_0123456789ABCDEFGHIJabcdefghijkl2e6m7Y")
    letters = string.digits + string.ascii_uppercase + string.ascii_lowercase
    for token in [new_token() for _ in range(20)]:
        number, check = binascii.crc32(token[3:35].encode()), ""
        for _ in range(6):
            number, digit = divmod(number, 62)
            check = letters[digit] + check
        assert token[35:] == check


@pytest.mark.parametrize("seed", range(3))
def test_every_single_wrong_character_is_a_known_typo(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        token = new_token()
        for place in range(len(token)):
            wrong = chance.choice([letter for letter in ALPHABET if letter != token[place]])
            assert not is_token(f"{token[:place]}{wrong}{token[place + 1 :]}".encode()), (token, place)


def test_two_neighbours_swapped_are_a_known_typo() -> None:
    for _ in range(100):
        token = new_token()
        for place in range(len(token) - 1):
            one, two = token[place], token[place + 1]
            if one != two:
                assert not is_token(f"{token[:place]}{two}{one}{token[place + 2 :]}".encode()), (token, place)


@pytest.mark.parametrize(
    "text", [b"", b"pm_", b"x" * 41, b"pm_" + b"0" * 37, b"pm_" + b"0" * 39, b"pm_" + b"\xff" * 38]
)
def test_what_has_another_shape_is_none(text: bytes) -> None:
    assert not is_token(text)


def test_a_line_end_behind_a_key_is_no_part_of_it() -> None:
    assert not is_token(new_token().encode() + b"\n")


def test_little_of_a_key_is_shown_and_nothing_of_it_is_in_its_digest() -> None:
    token = new_token()
    first, last = shown(token)
    assert (token.startswith(first), token.endswith(last)) == (True, True)
    assert len(first) - len("pm_") + len(last) == 8
    assert len(digest_of(token.encode())) == 32
    assert digest_of(token.encode()) != digest_of(new_token().encode())
