"""The terminal with pages and keys; needs the extra ``tui``."""

import asyncio
import time
from collections.abc import Callable

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual import events
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.geometry import Region
from textual.screen import ModalScreen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from pointsman_client.errors import ClientError
from pointsman_client.place import Place
from pointsman_client.top.acts import LETTERS, NoSuchAct, Question, carry_out, question
from pointsman_client.top.board import TABS, Board
from pointsman_client.top.page.frame import Size, draw, page_of
from pointsman_client.top.page.now import target_of
from pointsman_client.top.pen import Line, Pen, Style
from pointsman_client.top.seen import NOW
from pointsman_client.top.targets import Kind, Target
from pointsman_client.top.watching import Watcher
from pointsman_client.transport import Transport

_ACT_SECONDS = 20.0
_TICK_SECONDS = 1.0
_STYLES = {
    Style.PLAIN: RichStyle(),
    Style.STRONG: RichStyle(bold=True),
    Style.DIM: RichStyle(dim=True),
    Style.GOOD: RichStyle(color="green"),
    Style.WARN: RichStyle(color="yellow"),
    Style.BAD: RichStyle(color="red", bold=True),
    Style.CHOSEN: RichStyle(reverse=True),
    Style.BANNER: RichStyle(bold=True, reverse=True),
}


class Sheet(Widget, can_focus=True):
    """The screen as lines. Of a drawing only the lines that are others than before are written."""

    def __init__(self) -> None:
        super().__init__()
        self._strips: list[tuple[Line, Strip]] = []

    def show(self, lines: list[Line]) -> None:
        """Draw these."""
        before = self._strips
        self._strips = [
            before[y] if y < len(before) and before[y][0] == line else (line, _strip(line))
            for y, line in enumerate(lines)
        ]
        if changed := [
            Region(0, y, self.size.width, 1)
            for y, (line, _) in enumerate(self._strips)
            if y >= len(before) or before[y][0] != line
        ]:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """One of them."""
        return self._strips[y][1] if y < len(self._strips) else Strip.blank(self.size.width)


class Ask(ModalScreen[str | None]):
    """Asks for the reason of an act. The answer is None when it is left alone."""

    BINDINGS = [("escape", "leave", "leave it alone")]  # noqa: RUF012 - as textual has it

    def __init__(self, asked: Question, pen: Pen) -> None:
        super().__init__()
        self._asked, self._pen = asked, pen

    def compose(self) -> ComposeResult:
        """Its lines."""
        with Vertical(id="ask", classes="ascii" if self._pen.ascii_only else ""):
            yield Static(self._pen.span(self._asked.asks).text, id="asks", markup=False)
            yield Static(self._pen.span(self._asked.concerns).text, id="concerns", markup=False)
            yield Input(placeholder="why: a reason, then Enter. Esc leaves it alone", max_length=500)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Without a reason nothing is done."""
        if event.value.strip():
            self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        """Nothing is done."""
        self.dismiss(None)


class Top(App[None]):
    """``pointsman top``."""

    CSS = """
    Screen { layers: below above; }
    Sheet { width: 100%; height: 100%; layer: below; }
    #narrow { layer: above; dock: bottom; display: none; height: 1; border: none; padding: 0; }
    Ask { align: center middle; background: transparent; }
    #ask { width: 76; max-width: 100%; height: auto; border: round; padding: 0 1; }
    #ask.ascii { border: ascii; }
    #asks { text-style: bold; }
    #ask Input { border: none; height: 1; padding: 0; }
    """
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, place: Place, pen: Pen) -> None:
        super().__init__(ansi_color=True)
        self.board = Board()
        self._place, self._pen = place, pen
        self._watcher = Watcher(place, self._changed)
        self._asks = False

    def compose(self) -> ComposeResult:
        """The lines, and what is typed to narrow a list."""
        yield Sheet()
        yield Input(id="narrow", placeholder="filter", max_length=200)

    def on_mount(self) -> None:
        """Begin to read."""
        self.theme = "ansi-dark"
        self.query_one(Sheet).focus()
        self._watcher.look_at(self.board.paths)
        self._watcher.start()
        self.set_interval(_TICK_SECONDS, self.draw)
        self.draw()

    async def on_unmount(self) -> None:
        """Read no more."""
        await asyncio.to_thread(self._watcher.stop)

    def on_resize(self) -> None:
        """Another size, another drawing."""
        self.call_after_refresh(self.draw)

    def _changed(self) -> None:
        loop = self._loop
        if loop is not None and self.is_running and not loop.is_closed():
            loop.call_soon_threadsafe(self.draw)

    @property
    def _room(self) -> Size:
        return Size(self.size.width, self.size.height)

    def draw(self) -> None:
        """Show what is so now."""
        self._watcher.look_at(self.board.paths)
        lines = draw(self.board, self._watcher.seen, self._room, self._pen, time.monotonic())
        for sheet in self.screen_stack[0].query(Sheet):
            sheet.show(lines)

    async def on_event(self, event: events.Event) -> None:
        """Small letters look, capital ones act. Taken here and not by a widget, which would have the next keys of
        somebody who types fast before the first has opened a field for them.
        """
        if not isinstance(event, events.Key) or len(self.screen_stack) > 1:
            await super().on_event(event)
        elif isinstance(self.focused, Input):
            if event.key == "escape":
                self._narrowed("")
            else:
                await super().on_event(event)
        elif not self._asks:
            # Else it was typed ahead of a question that is not there yet, and means no command.
            self._press(event.key, event.character or "")
            self.draw()

    def _press(self, key: str, character: str) -> None:
        board = self.board
        moves: dict[str, int] = {
            "j": 1, "down": 1, "k": -1, "up": -1, "pagedown": self._room.body, "pageup": -self._room.body,
            "home": -1_000_000, "end": 1_000_000,
        }  # fmt: skip
        plain: dict[str, Callable[[], None]] = {
            "tab": lambda: board.step(1), "l": lambda: board.step(1), "right": lambda: board.step(1),
            "shift+tab": lambda: board.step(-1), "h": lambda: board.step(-1), "left": lambda: board.step(-1),
            "escape": board.back, "enter": lambda: board.open(self._chosen()), "r": self._watcher.read_again,
            "slash": self._narrow, "q": self.exit, "question_mark": self._help,
        }  # fmt: skip
        if key in moves:
            board.move(self._targets(), moves[key])
        elif key in plain:
            plain[key]()
        elif character.isdecimal() and 1 <= int(character) <= len(TABS):
            board.show(TABS[int(character) - 1])
        elif character and character in LETTERS:
            self._ask(character)
        elif character.isalpha() and character.isupper():
            board.notice = f"No act has the letter {character}: they are {', '.join(LETTERS)}."

    def _help(self) -> None:
        self.board.helping = not self.board.helping

    def _targets(self) -> list[Target | None]:
        return page_of(self.board, self._watcher.seen, self._room, self._pen, time.monotonic()).targets

    def _chosen(self) -> Target | None:
        targets = self._targets()
        at = self.board.place(targets)
        return None if at is None else targets[at]

    def _narrow(self) -> None:
        field = self.query_one("#narrow", Input)
        field.value = self.board.filter
        field.display = True
        # At once: what is typed next is no command any more.
        self.screen.set_focus(field)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The list is narrowed."""
        if event.input.id == "narrow":
            self._narrowed(event.value)

    def _narrowed(self, text: str) -> None:
        self.board.narrow(text)
        self.query_one("#narrow", Input).display = False
        self.screen.set_focus(self.query_one(Sheet))
        self.draw()

    def _ask(self, letter: str) -> None:
        if not self._asks:
            self._asks = True
            chosen = self._chosen()
            opened = self.board.opened[-1] if self.board.opened else None
            self.run_worker(self._act(letter, opened or chosen), exclusive=False)

    async def _act(self, letter: str, target: Target | None) -> None:
        """Ask, and do it."""
        try:
            with Transport(self._place, _ACT_SECONDS) as transport:
                asked = await asyncio.to_thread(question, letter, target, self._alerts(target), transport)
                reason = await self.push_screen_wait(Ask(asked, self._pen))
                if reason is None:
                    self.board.notice = "Nothing was changed."
                else:
                    self.board.notice = await asyncio.to_thread(carry_out, asked, reason, transport)
                    self._watcher.read_again()
        except NoSuchAct as error:
            self.board.notice = str(error)
        except ClientError as error:
            self.board.notice = f"Not done: {error}"
        finally:
            self._asks = False
            self.draw()

    def _alerts(self, target: Target | None) -> tuple[str, ...]:
        """Of a cause: those that nobody has acknowledged."""
        if target is None or target.kind is not Kind.CAUSE:
            return ()
        causes = (self._watcher.seen.document(NOW) or {}).get("causes") or []
        return tuple(alert for cause in causes if target_of(cause) == target for alert in cause.get("alert_ids") or ())


def _strip(line: Line) -> Strip:
    return Strip([Segment(span.text, _STYLES[span.style]) for span in line])
