"""What somebody looks at: the tab, the line under the cursor, the filter. Pure; keys change it."""

from dataclasses import dataclass, field
from enum import StrEnum

from pointsman_client.top.seen import NOW
from pointsman_client.top.targets import ALERTS, BREAKERS, ERRORS, WORKERS, Kind, Target, TaskFilter, tasks_path


class Tab(StrEnum):
    """The pages, in the order of their digits."""

    NOW = "Now"
    TASKS = "Tasks"
    QUEUES = "Queues"
    WORKERS = "Workers"
    BREAKERS = "Breakers"
    ALERTS = "Alerts"
    ERRORS = "Errors"


TABS = tuple(Tab)
_LISTS = {Tab.WORKERS: WORKERS, Tab.BREAKERS: BREAKERS, Tab.ALERTS: ALERTS, Tab.ERRORS: ERRORS}


@dataclass
class Cursor:
    """The chosen line, by what it leads to: it stays with it when lines come and go."""

    target: Target | None = None
    index: int = 0
    """Where it was last; of a page of text the line itself."""


@dataclass
class Board:
    """One person's view."""

    tab: Tab = Tab.NOW
    opened: list[Target] = field(default_factory=list)
    """What was opened from a line, the last on top; empty: the list of the tab."""
    filters: dict[Tab, str] = field(default_factory=dict)
    cursors: dict[object, Cursor] = field(default_factory=dict)
    notice: str = ""
    """What came of the last act."""
    helping: bool = False

    @property
    def filter(self) -> str:
        """Of the tab."""
        return self.filters.get(self.tab, "")

    @property
    def cursor(self) -> Cursor:
        """Of what is shown."""
        return self.cursors.setdefault(self.opened[-1] if self.opened else self.tab, Cursor())

    @property
    def list_path(self) -> str:
        """Where the lines of the tab come from."""
        if self.tab is Tab.TASKS:
            return tasks_path(TaskFilter.parsed(self.filter).parameters)
        return _LISTS.get(self.tab, NOW)

    @property
    def paths(self) -> tuple[str, ...]:
        """What has to be asked for what is shown, besides ``NOW``."""
        shown = self.opened[-1].paths if self.opened else (self.list_path,)
        return tuple(dict.fromkeys(path for path in (*shown, WORKERS) if path != NOW))

    def show(self, tab: Tab) -> None:
        """Go to a tab."""
        self.tab, self.opened, self.notice, self.helping = tab, [], "", False

    def step(self, tabs: int) -> None:
        """Go to a neighbour of the tab."""
        self.show(TABS[(TABS.index(self.tab) + tabs) % len(TABS)])

    def open(self, target: Target | None) -> None:
        """Show one thing, or the tasks of a filter."""
        if target is None:
            return
        self.notice = ""
        if target.kind is Kind.TASKS:
            self.show(Tab.TASKS)
            self.narrow(target.name)
        elif not self.opened or self.opened[-1] != target:
            self.opened.append(target)
            self.cursors.pop(target, None)

    def back(self) -> None:
        """Undo the last of: help, something opened, a filter."""
        self.notice = ""
        if self.helping:
            self.helping = False
        elif self.opened:
            self.opened.pop()
        else:
            self.narrow("")

    def narrow(self, text: str) -> None:
        """Filter the list."""
        self.filters[self.tab] = text.strip()
        self.cursors.pop(self.tab, None)

    def move(self, rows: "list[Target | None]", lines: int) -> None:
        """Move the cursor among the lines that can be chosen, down by ``lines``; ``rows`` are all that there are, by
        what they lead to.
        """
        places, now = self._places(rows), self.place(rows)
        if now is not None:
            at = places.index(now) if now in places else 0
            index = places[max(0, min(at + lines, len(places) - 1))]
            self.cursors[self.opened[-1] if self.opened else self.tab] = Cursor(rows[index], index)

    def place(self, rows: "list[Target | None]") -> int | None:
        """The line of the cursor; None where none can be chosen."""
        places = self._places(rows)
        if not places:
            return None
        cursor = self.cursor
        if not self.opened and cursor.target is not None and cursor.target in rows:
            return rows.index(cursor.target)
        return min(places, key=lambda index: abs(index - cursor.index))

    def _places(self, rows: "list[Target | None]") -> list[int]:
        # What was opened is text: every line of it can be read.
        return [index for index, target in enumerate(rows) if self.opened or target is not None]
