"""How one thing is written out: labels, texts, times."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from pointsman_client.answer import JsonObject
from pointsman_client.top.page.row import Row
from pointsman_client.top.pen import Pen, Span, Style
from pointsman_client.top.saying import both, parsed
from pointsman_client.top.targets import Target

_LABEL = 14
_MAX_LINES = 400
"""Of a traceback or a document: the last of one, the first of the other."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """How lines are made on it."""

    width: int
    pen: Pen
    at: datetime

    def title(self, *parts: str | Span) -> Row:
        """What it is."""
        return Row(self.pen.line(*parts))

    def text(self, text: str, style: Style = Style.PLAIN) -> Iterator[Row]:
        """A paragraph."""
        for line in self.pen.wrapped(text, self.width, style=style):
            yield Row(line)

    def field(
        self, label: str, value: object, target: Target | None = None, style: Style = Style.PLAIN
    ) -> Iterator[Row]:
        """Nothing for what there is none of."""
        if value in (None, "", [], {}):
            return
        first, *others = self.pen.wrapped(str(value), self.width - _LABEL, style=style)
        yield Row((self.pen.cell(label, _LABEL, Style.DIM), *first), target)
        for line in others:
            yield Row((Span(" " * _LABEL), *line), target)

    def when(self, label: str, text: object) -> Iterator[Row]:
        """A time of the API; nothing where there is none."""
        found = parsed(text)
        if found is not None:
            yield from self.field(label, both(found, self.at))

    def lines(self, label: str, text: str, *, last: bool = False) -> Iterator[Row]:
        """A text of its own lines."""
        if not text:
            return
        found = text.rstrip().splitlines()
        kept = found[-_MAX_LINES:] if last else found[:_MAX_LINES]
        yield Row(self.pen.line(""))
        yield Row(self.pen.line(self.pen.span(label, Style.DIM)))
        for line in kept:
            text = line.expandtabs(4).rstrip()
            deep = " " * min(len(text) - len(text.lstrip()), self.width // 2)
            for part in self.pen.wrapped(text.lstrip(), self.width, deep, f"{deep}    "):
                yield Row(part)
        if len(kept) < len(found):
            yield Row(self.pen.line(self.pen.span(f"… {len(found) - len(kept)} more lines", Style.DIM)))

    def explained(self, found: JsonObject | None) -> Iterator[Row]:
        """Why it is so, and what to do."""
        if found is None:
            return
        yield from self.text(str(found.get("sentence")), Style.STRONG)
        expected = parsed(found.get("expected_at"))
        yield from self.field("expected", None if expected is None else both(expected, self.at))
        yield from self.field("what to do", found.get("what_to_do"))
        for other in found.get("also") or ():
            yield from self.field("also", other.get("sentence"))
