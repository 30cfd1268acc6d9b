"""Migrations land on top of one another: a database that ran one never runs what is put below it later."""

import hashlib
from pathlib import Path

from alembic.script import ScriptDirectory

from pointsman_service.store.upkeep.revision import head

_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
_LANDED = _MIGRATIONS / "landed.txt"


def history(folder: Path) -> list[str]:
    """A line for each migration, from the first on: its revision and a digest of it and of all below it."""
    lines: list[str] = []
    below = ""
    for script in reversed(list(ScriptDirectory(str(folder)).walk_revisions())):
        text = Path(script.path).read_text(encoding="utf-8")
        below = hashlib.sha256(f"{below}\n{script.revision}\n{text}".encode()).hexdigest()[:16]
        lines.append(f"{script.revision} {below}")
    return lines


def fault(lines: list[str], landed: list[str]) -> str | None:
    """What is wrong with a history, given the lines of what has landed."""
    for place, line in enumerate(landed):
        if place >= len(lines) or lines[place] != line:
            name = line.partition(" ")[0]
            return (
                f"{name} has landed, and it or something below it is another now: databases that ran it never see that."
                " Put a new migration on top of the newest, and edit none that has landed."
            )
    new = lines[len(landed) :]
    return f"append to {_LANDED.name}:\n" + "\n".join(new) if new else None


def test_the_newest_is_told_as_alembic_tells_it() -> None:
    assert head() == ScriptDirectory(str(_MIGRATIONS)).get_current_head()


def test_no_migration_was_put_below_one_that_has_landed() -> None:
    landed = _LANDED.read_text(encoding="utf-8").split("\n")[:-1]
    wrong = fault(history(_MIGRATIONS), landed)
    assert wrong is None, wrong


def _chain(folder: Path, *names: str) -> Path:
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").touch()
    for name, below in zip(names, [None, *names], strict=False):
        text = f"revision = {name!r}\ndown_revision = {below!r}\n"
        (folder / "versions" / f"{name}.py").write_text(text, encoding="utf-8")
    return folder


def test_one_that_is_put_below_another_and_one_that_is_edited_are_refused(tmp_path: Path) -> None:
    landed = history(_chain(tmp_path / "before", "a", "b", "c"))
    below = history(_chain(tmp_path / "below", "a", "new", "b", "c"))
    wrong = fault(below, landed)
    assert wrong is not None
    assert wrong.startswith("b has landed")
    # Nor does a line in between make it right.
    assert fault(below, [landed[0], below[1], *landed[1:]]) is not None
    edited = _chain(tmp_path / "edited", "a", "b", "c")
    with (edited / "versions" / "b.py").open("a", encoding="utf-8") as file:
        file.write("# something else\n")
    assert (fault(history(edited), landed) or "").startswith("b has landed")


def test_one_on_top_asks_for_its_line(tmp_path: Path) -> None:
    landed = history(_chain(tmp_path / "before", "a", "b"))
    on_top = history(_chain(tmp_path / "on_top", "a", "b", "c"))
    assert fault(on_top, landed) == f"append to landed.txt:\n{on_top[2]}"
    assert fault(on_top, on_top) is None
