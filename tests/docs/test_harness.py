"""The tests of the documentation notice what they are there to notice."""

import json
from pathlib import Path

import pytest

from tests.docs.markdown import BadPage, Block, blocks_of
from tests.docs.shell import Shell
from tests.docs.sketch import is_like, json_said, missing_line, missing_part
from tests.stand.environment import ROOT

PAGE = ROOT / "docs" / "page.md"


def page(*lines: str) -> list[Block]:
    return blocks_of(PAGE, "\n".join(lines))


def test_a_block_is_found_with_its_markers_and_place() -> None:
    first, second = page("Words", "", "<!-- answers 422 -->", "```sh", "curl x", "```", "", "```json", "{}", "```")
    assert (first.language, first.text, first.line, first.markers) == ("sh", "curl x", 4, {"answers": "422"})
    assert first.where == "docs/page.md:4"
    assert (first.follows, second.follows) == (False, True)


def test_a_block_in_a_list_loses_its_indentation() -> None:
    (found,) = page("- so:", "  ```python", "  # a.py", "  if 1:", "      pass", "  ```")
    assert found.text == "# a.py\nif 1:\n    pass"
    assert found.file == "a.py"


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["```", "ls", "```"], "no language"),
        (["```yaml", "a: 1", "```"], "the language yaml"),
        (["<!-- runs sometimes -->", "```sh", "ls", "```"], "unknown marker"),
        (["<!-- not run: -->", "```sh", "ls", "```"], "unknown marker"),
        (["<!-- answers 422 -->", "```json", "{}", "```"], "does not take answers"),
        (["```sh", "ls"], "does not end"),
        (["<!-- not run: until README.md is here -->", "```sh", "ls", "```"], "take the marker away"),
    ],
)
def test_a_page_that_cannot_be_understood_is_refused(lines: list[str], complaint: str) -> None:
    with pytest.raises(BadPage, match=complaint):
        page(*lines)


def test_a_marked_block_may_have_any_language() -> None:
    (found,) = page("<!-- not run: needs a Docker daemon -->", "```yaml", "a: 1", "```")
    assert not found.is_run


def test_a_sketch_is_like_what_was_said() -> None:
    assert is_like("task … took 3 s", "task 0a-1 took 41.5 s")
    assert not is_like("task … took 3 s", "task 0a-1 takes 41.5 s")
    assert missing_line("b…\nd", "a\nb c\nd\n") is None
    assert missing_line("d\nb…", "a\nb c\nd\n") == "b…"
    said = json.loads('{"items": [{"state": "queued", "n": 4}, {"state": "failed", "error": null}], "more": true}')
    assert missing_part({"items": [{"state": "failed", "error": {"type": "x"}}]}, said) is None
    assert missing_part({"items": [{"n": 1}], "more": True}, said) is None
    assert missing_part({"items": [{"state": "held"}]}, said) == "/items/0"
    assert missing_part({"next": 1}, said) == "/next"
    assert missing_part({"more": 1}, said) == "/more"
    assert json_said("HTTP/1.1 200 OK\nx: y\n\n{}") == {}


def test_the_shell_keeps_variables_and_tells_of_each_failure(tmp_path: Path) -> None:
    with Shell(tmp_path, {"PATH": "/usr/bin:/bin"}) as shell:
        assert shell.run("one=1", 10).status == 0
        assert shell.run("echo $one", 10).out == "1\n"
        assert shell.run("if false; then :; fi; echo well", 10).status == 0
        failed = shell.run("(exit 3)\necho on", 10)
        assert (failed.status, failed.out) == (3, "on\n")
        assert shell.run("false | cat", 10).status == 1
        assert shell.run("printf '@@http 404\\n' >&2", 10).answers == [404]
        shell.leave_running("sh -c 'echo up; exec sleep 60'", "up", 10)
        with pytest.raises(AssertionError, match="143"):
            shell.end_background()
