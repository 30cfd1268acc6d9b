"""The first page live, for an installation without the extra ``tui``: it is drawn and listens to ``q``."""

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from pointsman_client.place import Place
from pointsman_client.top.board import Board
from pointsman_client.top.page.frame import Size, draw
from pointsman_client.top.paint import Paint, painter
from pointsman_client.top.pen import Pen
from pointsman_client.top.watching import Watcher

_TICK_SECONDS = 1.0
_LEAST_SECONDS = 0.25
"""Between two drawings."""


class Screen:
    """What stands on a terminal: only lines that are others than before are written."""

    def __init__(self, paint: Paint) -> None:
        self._paint = paint
        self._lines: list[str] = []
        self._size: Size | None = None

    def changes(self, board: Board, watcher: Watcher, size: Size, pen: Pen) -> str:
        """What to write."""
        drawn = [self._paint(line) for line in draw(board, watcher.seen, size, pen, time.monotonic(), keys=False)]
        before, clear = self._lines, ""
        if size != self._size:
            before, clear = [], "\033[2J"
        self._lines, self._size = drawn, size
        return clear + "".join(
            f"\033[{number};1H{line}\033[K"
            for number, line in enumerate(drawn, 1)
            if number > len(before) or before[number - 1] != line
        )


def watch(place: Place, console: Console, pen: Pen) -> None:
    """Until ``q``, Ctrl-C or SIGTERM; the terminal is left as it was found."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def wake(*_: object) -> None:
        # A full pipe wakes as well as one more byte.
        with _ignored(BlockingIOError, OSError):
            os.write(writing, b"x")

    watcher = Watcher(place, wake)
    board, screen = Board(), Screen(painter(escapes=True, colours=not console.no_color))
    with _own_terminal(wake):
        watcher.look_at(board.paths)
        watcher.start()
        try:
            while True:
                size = Size(console.size.width, console.size.height)
                sys.stdout.write(screen.changes(board, watcher, size, pen))
                sys.stdout.flush()
                began = time.monotonic()
                if _pressed(reading, _TICK_SECONDS):
                    return
                time.sleep(max(_LEAST_SECONDS - (time.monotonic() - began), 0.0))
        except KeyboardInterrupt:
            return
        finally:
            watcher.stop()
            os.close(reading)
            os.close(writing)


def _pressed(wakes: int, seconds: float) -> bool:
    """Whether somebody wants to leave; waits for something to happen."""
    ready, _, _ = select.select([sys.stdin, wakes], [], [], seconds)
    if wakes in ready:
        os.read(wakes, 4096)
    return sys.stdin in ready and os.read(sys.stdin.fileno(), 64)[:1] in (b"q", b"Q", b"\x03", b"")


@contextmanager
def _ignored(*errors: type[BaseException]) -> Iterator[None]:
    try:
        yield
    except errors:
        return


@contextmanager
def _own_terminal(resized: object) -> Iterator[None]:
    def end(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    handlers = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    handlers[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: resized())  # type: ignore[operator]
    try:
        tty.setcbreak(descriptor)
        sys.stdout.write("\033[?1049h\033[?25l")
        yield
    finally:
        sys.stdout.write("\033[?25h\033[?1049l")
        sys.stdout.flush()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
