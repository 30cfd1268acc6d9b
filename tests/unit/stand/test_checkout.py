from pathlib import Path

from tests.stand.checkout import code_of
from tests.stand.environment import ROOT


def test_this_checkout_is_run_by_its_own_names() -> None:
    code = code_of(ROOT)
    assert code[:2] == ("pointsman_service", "pointsman")
    assert all((folder / name).is_dir() for folder, name in zip(code.path[1:], code[:2], strict=True))


def test_a_checkout_from_before_the_names_is_run_by_its_folders(tmp_path: Path) -> None:
    (tmp_path / "service").mkdir()
    assert code_of(tmp_path) == ("service", "workers", (tmp_path.resolve(),))
