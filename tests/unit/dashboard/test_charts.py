"""Lines over time: what is drawn, and what is said of it."""

from datetime import UTC, datetime, timedelta

from pointsman_service.dashboard.components.charts import Line, chart

AT = datetime(2026, 11, 29, 8, tzinfo=UTC)
TIMES = [AT + timedelta(minutes=place) for place in range(5)]


def test_a_gap_breaks_the_line_and_a_value_alone_is_a_dot() -> None:
    drawn = chart("Tasks", TIMES, TIMES[-1], [Line("in", [1.0, 2.0, None, 4.0, None])], "number")
    assert drawn.lines[0].path == "M0 76L150 52M450 4h1"
    assert drawn.high == "4"
    assert drawn.says == "Tasks. in: lowest 1, highest 4, last 4."


def test_lines_share_a_scale_and_a_table_says_the_same_newest_first() -> None:
    lines = [Line("wait", [0.0, 30.0, 60.0, 90.0, 120.0]), Line("target", [60.0] * 5)]
    drawn = chart("Oldest wait", TIMES, TIMES[-1], lines, "seconds")
    assert drawn.lines[1].path == "M0 52L150 52L300 52L450 52L600 52"
    assert drawn.rows[0] == (TIMES[-1], ["2 min", "1 min"])
    assert len(drawn.rows) == 5


def test_what_nobody_saw_is_said_to_be_unknown() -> None:
    drawn = chart("Busy", TIMES, TIMES[-1], [Line("busy", [None] * 5)], "share", top=1.0)
    assert (drawn.is_known, drawn.lines[0].path, drawn.lines[0].says, drawn.high) == (False, "", "not known", "100 %")


def test_a_long_table_has_every_second_or_third_row() -> None:
    times = [AT + timedelta(minutes=place) for place in range(130)]
    assert len(chart("x", times, AT, [Line("a", [0.0] * 130)], "number").rows) == 44
