"""The whole screen: tabs and verdict, what is shown, keys, and how fresh it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pointsman_client.top.board import TABS, Board, Tab
from pointsman_client.top.page.detail import detail_rows
from pointsman_client.top.page.lists import alert_rows, breaker_rows, error_rows, task_rows
from pointsman_client.top.page.now import now_rows_in
from pointsman_client.top.page.queues import queue_rows
from pointsman_client.top.page.row import Row
from pointsman_client.top.page.words import named
from pointsman_client.top.page.workers import worker_rows
from pointsman_client.top.pen import Line, Pen, Span, Style, plain, styled, width
from pointsman_client.top.saying import clock, parsed, span, whole_span
from pointsman_client.top.seen import NOW, Seen
from pointsman_client.top.targets import WORKERS, Target, TaskFilter

HELP = (
    "1 to 7, Tab      the pages              j k, arrows    move",
    "Enter            open the line          Esc            back; clear the filter",
    "/                filter the list; of tasks also:  failed queue:email type:NAME",
    "Home End, PgUp PgDn                     r              ask again now",
    "q                leave                  ?              these lines",
    "",
    "A capital letter changes something. It says first how much, and asks why.",
    "P   a queue      pause it, or let it go on",
    "C   a task       cancel it",
    "R   a task       run it again; an error group: all its failed tasks",
    "A   a cause, an alert: say that you know",
    "E   a worker     take it off its queues, or let it back",
    "F   a breaker    force it open, or take that back",
)
_KEYS = "j k move  Enter open  Esc back  / filter  ? keys  q leave  CAPITALS change"
_LISTS = {Tab.TASKS: task_rows, Tab.BREAKERS: breaker_rows, Tab.ALERTS: alert_rows, Tab.ERRORS: error_rows}
_EMPTY = {
    Tab.TASKS: "No task. Submit one: POST /v1/tasks.",
    Tab.WORKERS: "No worker has been seen. ./scripts/celery_workers.sh start",
    Tab.BREAKERS: "No circuit breaker has counted anything yet.",
    Tab.ALERTS: "No alert is open.",
    Tab.ERRORS: "Nothing failed in the last day.",
}
_HOW = {(True, True): "live", (True, False): "asked each second", (False, False): "lost", (False, True): "lost"}
_ABOVE, _BELOW = 2, 2


@dataclass(frozen=True, slots=True)
class Size:
    """Of the screen, in cells."""

    width: int
    height: int

    @property
    def body(self) -> int:
        """The lines between head and foot."""
        return max(self.height - _ABOVE - _BELOW, 1)


@dataclass(frozen=True, slots=True)
class Page:
    """What is between head and foot: a head that stays, and lines among which the cursor moves."""

    head: tuple[Row, ...]
    rows: tuple[Row, ...]
    without: tuple[str, ...] = ()
    """What there was no room for."""

    @property
    def targets(self) -> list[Target | None]:
        """What each line leads to."""
        return [row.target for row in self.rows]


def page_of(board: Board, seen: Seen, size: Size, pen: Pen, mono: float) -> Page:
    """What the board shows."""
    at = seen.now(mono)
    if board.helping:
        return Page((), tuple(Row(pen.line(text)) for text in HELP))
    if board.opened:
        return Page((), tuple(detail_rows(board.opened[-1], seen, size.width, pen, at)))
    now = seen.document(NOW)
    if board.tab is Tab.NOW:
        if now is None:
            return Page((), _waiting(seen, pen))
        workers = None if seen.fault(WORKERS) else seen.document(WORKERS)
        rows, without = now_rows_in(now, workers, size.width, size.body, pen, at)
        return Page((), tuple(rows), tuple(without))
    return _list(board, seen, size.width, pen, at)


def draw(board: Board, seen: Seen, size: Size, pen: Pen, mono: float, *, keys: bool = True) -> list[Line]:
    """Every line of the screen, each exactly as wide as it. Without ``keys`` nothing is chosen or offered."""
    page = page_of(board, seen, size, pen, mono)
    at = board.place(page.targets) if keys and not board.helping else None
    room = size.body - len(page.head)
    body = [row.line for row in page.head] + _window(page.rows, at, room, size.width, pen)
    if seen.is_stale(mono):
        body = [styled(line, Style.DIM) for line in body]
    lines = [*_top(board, seen, page, size.width, pen, mono, keys=keys), *body[: size.body]]
    lines += [pen.line("")] * (size.body + _ABOVE - len(lines))
    lines += [_keys(board, pen) if keys else pen.line(pen.span("Ctrl-C or q leaves", Style.DIM)), foot(seen, pen, mono)]
    return [pen.fit(line, size.width) for line in lines][: size.height]


def foot(seen: Seen, pen: Pen, mono: float) -> Line:
    """How fresh it is: by the moment that the figures are of, never by when they came."""
    now = seen.document(NOW)
    if now is None:
        return pen.line(pen.span(seen.url, Style.DIM))
    recorded, age = parsed(now.get("recorded_up_to")), seen.age(mono)
    behind = None if recorded is None or seen.as_of is None else (seen.as_of - recorded).total_seconds()
    said = [
        f"as of {clock(seen.as_of)} UTC" + ("" if age is None or age < 2 else f" ({whole_span(age)} ago)"),
        "how far it is recorded is not known" if behind is None else f"recorded up to {span(behind)} before",
        _HOW[seen.connection.lost_since is None, seen.connection.streaming],
        seen.url,
    ]
    return pen.line(pen.span(" · ".join(said), Style.BANNER if seen.is_stale(mono) else Style.DIM))


def banner(seen: Seen, mono: float) -> str:
    """Why what is shown must not be taken for what is; empty when it may be."""
    connection, age = seen.connection, seen.age(mono)
    if connection.lost_since is not None:
        again = "" if connection.next_try is None else f" Tried again in {whole_span(connection.next_try - mono)}."
        since = mono - connection.lost_since
        old = "" if age is None else f" What follows is {whole_span(age)} old."
        return f"No answer for {whole_span(since)}: {connection.reason}.{again}{old}"
    if age is not None and seen.is_stale(mono):
        return f"The figures stand still: they are {whole_span(age)} old."
    return ""


def _top(board: Board, seen: Seen, page: Page, wide: int, pen: Pen, mono: float, *, keys: bool) -> list[Line]:
    now = seen.document(NOW) or {}
    verdict = "unreachable" if seen.connection.lost_since is not None else now.get("verdict") or "…"
    mark = named(pen, verdict)
    mark = Span(mark.text.upper(), mark.style)
    tabs: list[Span] = [] if wide < 100 and keys else [pen.span("Pointsman  ", Style.STRONG)]
    if keys:
        tabs += [_tab(board, f"{digit} {tab}", tab, pen) for digit, tab in enumerate(TABS, 1)]
    if width(tuple(tabs)) + width((mark,)) >= wide:
        # All pages are told, if need be by their digits.
        tabs = [_tab(board, str(digit), tab, pen) for digit, tab in enumerate(TABS, 1)] if keys else []
    gap = wide - width(tuple(tabs)) - width((mark,))
    first = pen.line(*tabs, " " * gap, mark) if gap > 0 else pen.line(mark, " ", *tabs)
    return [first, _second(board, seen, page, wide, pen, mono)]


def _tab(board: Board, name: str, tab: Tab, pen: Pen) -> Span:
    return pen.span(f"[{name}]", Style.CHOSEN) if tab is board.tab else pen.span(f" {name} ")


def _second(board: Board, seen: Seen, page: Page, wide: int, pen: Pen, mono: float) -> Line:
    if text := banner(seen, mono):
        return pen.line(pen.span(f"▲ {text}", Style.BANNER))
    if board.notice:
        return pen.line(pen.span(board.notice, Style.STRONG))
    if board.opened:
        return pen.line(
            pen.span(f"‹ Esc  {board.tab} › {' › '.join(f'{one.kind} {one.name}' for one in board.opened)}", Style.DIM)
        )
    if board.filter:
        return pen.line(pen.span(f"only: {board.filter}   Esc clears it", Style.WARN))
    if board.tab is Tab.NOW:
        left_out = f"─ no room for {', '.join(page.without)} " if page.without else ""
        return pen.line(pen.span(left_out + "─" * max(wide - len(left_out), 0), Style.DIM))
    return pen.line(pen.span(str((seen.document(NOW) or {}).get("sentence") or ""), Style.DIM))


def _keys(board: Board, pen: Pen) -> Line:
    return pen.line(pen.span("Esc or ? closes this" if board.helping else _KEYS, Style.DIM))


def _list(board: Board, seen: Seen, wide: int, pen: Pen, at: datetime) -> Page:
    path = board.list_path
    answer = seen.document(path)
    fault = seen.fault(path)
    lead = [] if fault is None else [Row(line) for line in pen.wrapped(fault, wide, style=Style.BAD)]
    if answer is None:
        return Page((), tuple(lead) or _waiting(seen, pen))
    if board.tab is Tab.QUEUES:
        head, rows = queue_rows(answer.get("queues") or [], wide, pen)
    elif board.tab is Tab.WORKERS:
        head, rows = worker_rows(answer.get("items") or [], wide, pen)
    else:
        head, rows = _LISTS[board.tab](answer.get("items") or [], wide, pen, at)
    words = TaskFilter.parsed(board.filter).words if board.tab is Tab.TASKS else tuple(board.filter.casefold().split())
    kept = [row for row in rows if all(word in _searched(row) for word in words)]
    if not kept:
        text = "No line holds that." if rows else _EMPTY.get(board.tab, "")
        kept = [Row(pen.line(pen.span(text, Style.DIM)))]
    elif answer.get("next_cursor"):
        kept.append(Row(pen.line(pen.span(f"the newest {len(rows)}; there are more: / narrows", Style.DIM))))
    return Page((*lead, head), tuple(kept))


def _searched(row: Row) -> str:
    return (plain(row.line) + (row.target.name if row.target else "")).casefold()


def _waiting(seen: Seen, pen: Pen) -> tuple[Row, ...]:
    asked = f"asking {seen.url} …"
    return (Row(pen.line(asked if seen.connection.lost_since is None else "Nothing has been read yet.")),)


def _window(rows: Sequence[Row], at: int | None, room: int, wide: int, pen: Pen) -> list[Line]:
    """The lines around the cursor."""
    first = 0 if at is None else max(0, min(at - room // 2, len(rows) - room))
    shown = []
    for index, row in enumerate(rows[first : first + room], first):
        shown.append(styled(pen.fit(row.line, wide), Style.CHOSEN) if index == at else row.line)
    return shown
