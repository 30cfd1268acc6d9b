"""Every command and snippet of the README and of ``docs/*.md`` does what its page says.

The rules, and what an author of a page can say to them, are in ``tests.docs.markdown``.
"""

import json
import time
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest

from pointsman_contract.states import TERMINAL
from tests.docs.desk import Desk, starts_stack
from tests.docs.markdown import PAGES, Block, blocks_of
from tests.docs.shell import Said, Shell
from tests.docs.sketch import json_said, missing_line, missing_part
from tests.stand.environment import ROOT

_BLOCK_SECONDS = 180.0
_AGAIN_TIMES = 100
_AGAIN_SECONDS = 0.3

ALL = [block for page in PAGES for block in blocks_of(page)]


@pytest.mark.acceptance
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_a_page_does_what_it_says(page: Path, desk: Desk) -> None:
    with Shell(desk.directory, desk.environment()) as shell:
        said: Said | None = None
        for block in blocks_of(page):
            try:
                said = _try(block, desk, shell, said if block.follows else None)
            except (AssertionError, ValueError, TimeoutError, EOFError) as error:
                complaint = "\n".join([str(error), *getattr(error, "__notes__", [])])
            else:
                continue
            pytest.fail(
                f"{block.where}\n{block.text}\n--- {complaint}\n--- the stack\n{desk.last_lines()}", pytrace=False
            )
        shell.end_background()


def _try(block: Block, desk: Desk, shell: Shell, before: Said | None) -> Said | None:
    """What the block said, if anything. Raises for what is not as the page shows it."""
    if "not_run" in block.markers or "from_nothing" in block.markers:
        return None
    if block.language == "python":
        return _try_python(block, desk, shell)
    text = desk.here(block.text)
    if "validated" in block.markers:
        text = text.replace("/v1/tasks ", "/v1/tasks/validate ")
    if block.language == "sh":
        return _try_shell(block, text, shell)
    if block.language == "json":
        sketch = json.loads(text)
        if before is not None:
            said = json_said(before.out)
            if "result" in block.markers:
                said = _result(said["id"], desk)
            missing = missing_part(sketch, said)
            assert missing is None, f"{missing or 'the whole'} is not in the answer:\n{said}"
    elif block.language == "toml":
        tomllib.loads(text)
    elif block.language == "text" and before is not None:
        line = missing_line(text, before.all)
        assert line is None, f"this line was not said: {line}\nbut:\n{before.all}"
    return before


def _try_python(block: Block, desk: Desk, shell: Shell) -> Said | None:
    path = block.file
    if path is None:
        path = f"block_{block.line}.py"
        (desk.directory / path).write_text(desk.here(block.text))
    elif Path(path).name.startswith("test_"):
        return _well(shell.run(f"python -m pytest -q -p no:cacheprovider {path}", _BLOCK_SECONDS))
    elif desk.has(path):
        # A worker that could not import it would not have started.
        return None
    else:
        module = path.removesuffix(".py").replace("/", ".")
        return _well(shell.run(f"python -c 'import {module}'", _BLOCK_SECONDS))
    return _well(shell.run(f"python {path}", _BLOCK_SECONDS))


def _try_shell(block: Block, text: str, shell: Shell) -> Said | None:
    if "background" in block.markers:
        if not starts_stack(block):
            shell.leave_running(text, block.markers["background"], _BLOCK_SECONDS)
        return None
    until = block.markers.get("again_until", "")
    for _ in range(_AGAIN_TIMES):
        said = shell.run(text, _BLOCK_SECONDS)
        if until in said.all:
            return _well(said, int(block.markers.get("exits", 0)), block.markers.get("answers"))
        time.sleep(_AGAIN_SECONDS)
    raise AssertionError(f"it never said {until!r}:\n{said.all}")


def _result(task_id: str, desk: Desk) -> Any:
    for _ in range(_AGAIN_TIMES):
        answer = httpx.get(desk.here(f"http://127.0.0.1:8000/v1/tasks/{task_id}"), trust_env=False)
        task = answer.raise_for_status().json()
        if task["state"] in TERMINAL:
            assert task["state"] == "succeeded", task
            return task["result"]
        time.sleep(_AGAIN_SECONDS)
    raise AssertionError(f"it did not end: {task}")


def _well(said: Said, status: int = 0, answers: str | None = None) -> Said:
    assert said.status == status, f"it ended with {said.status}:\n{said.all}"
    *others, last = said.answers or [200]
    expected = str(last) == answers if answers is not None else 200 <= last < 300
    assert expected, f"it was answered {last}:\n{said.all}"
    assert all(200 <= other < 300 for other in others), f"answers: {said.answers}\n{said.all}"
    return said


def test_what_is_not_run_says_why(request: pytest.FixtureRequest) -> None:
    reasons = [(block.where, block.markers["not_run"]) for block in ALL if "not_run" in block.markers]
    for where, reason in reasons:
        assert len(reason.split()) > 1, f"{where}: this is no reason: {reason}"
        request.config.get_terminal_writer().line(f"not run: {where}: {reason}")


def test_every_page_can_be_read() -> None:
    assert sum(block.is_run for block in ALL) > 20
