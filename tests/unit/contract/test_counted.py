from pointsman_contract.counted import counted


def test_one_is_told_without_the_plural() -> None:
    assert [counted(number, "task") for number in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]
