from uuid import UUID

import pytest
from fastapi.sse import format_sse_event

from tests.benchmark.viewers import _read, _waits

TASK = str(UUID(int=7))
OTHER = str(UUID(int=8))


def test_a_moment_waits_until_a_page_says_that_it_has_everything_up_to_there() -> None:
    waits = _waits([(10.0, 10.5), (10.04, 10.6)], 9.99)
    assert waits == pytest.approx([10.5 - 9.99, 10.6 - 10.01, 10.6 - 10.03])
    assert _waits([(10.0, 10.5)], 11.0) == []


def test_a_chunk_is_read_for_its_rows_and_how_far_is_recorded() -> None:
    rows = "".join(
        f'<tr id="task-{task}">\n<td><span class="state">{state}</span></td>\n</tr>'
        for task, state in ((TASK, "succeeded"), (OTHER, "running"))
    )
    news = format_sse_event(data_str=f"<hx-partial>{rows}</hx-partial>", id="a")
    beat = format_sse_event(data_str='{"recorded":"2026-11-29T12:00:00.500Z"}', event="beat")
    said = _read(news + beat)
    assert said.rows == {TASK: True, OTHER: False}
    assert said.recorded == 1795953600.5
    assert _read(beat).rows == {}
    assert _read(format_sse_event(comment="listening")).recorded is None
