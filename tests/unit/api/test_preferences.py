import pytest

from pointsman_service.api.requests.preferences import has_preference, wait_of


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["wait=10"], 10),
        (["respond-async, wait=10"], 10),
        (['Wait = "5" ; x=y'], 5),
        (["wait=0"], 0),
        (["wait=99999"], 30),
        (["return=minimal", "wait=3"], 3),
        (["wait=1, wait=2"], 1),
        (["wait"], None),
        (["wait="], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=1e3"], None),
        (["wait=" + "9" * 40], None),
        (["await=3"], None),
        (['wait="3'], None),
        ([""], None),
        ([], None),
    ],
)
def test_a_wait_is_understood_up_to_its_cap_and_anything_else_is_ignored(
    values: list[str], seconds: int | None
) -> None:
    scope = {"headers": [(b"prefer", value.encode()) for value in values]}
    assert wait_of(scope, 30) == seconds
    assert has_preference(scope) is bool(values)
