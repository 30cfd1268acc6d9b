import pytest

from tests import needs


def test_missing_program_skips_the_test_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POINTSMAN_CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install some-package"):
        needs.program("no-such-program", "some-package")


def test_missing_program_fails_the_test_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_CI", "1")
    with pytest.raises(pytest.fail.Exception, match="needs no-such-program"):
        needs.program("no-such-program")


def test_program_of_this_machine_is_found() -> None:
    assert needs.program("sh").is_absolute()


def test_missing_program_of_other_people_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POINTSMAN_CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="scripts/strangers"):
        needs.stranger("venv/bin/no-such-program")
    monkeypatch.setenv("POINTSMAN_CI", "1")
    with pytest.raises(pytest.fail.Exception, match="scripts/strangers"):
        needs.stranger("venv/bin/no-such-program")
