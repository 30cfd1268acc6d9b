"""What the code of a managed run writes is kept beside its attempt, and goes where it went before."""

import asyncio
import builtins
import contextvars
import io
import json
import logging
import logging.config
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from celery.utils.log import LoggingProxy, get_task_logger

from pointsman import run_log_handler, testing
from pointsman.node.run_lines import LineSender, RunLines
from pointsman.run.writing import PrintedStream, keep_what_runs_write
from pointsman.testing import Ran, run_attempt
from pointsman_contract.run_log import LINE_BYTES
from tests.unit.workers.conftest import MakeTask

log = logging.getLogger("tests.writing")
say = builtins.print


class Line(NamedTuple):
    at: float
    level: str
    logger: str
    text: str


class Kept(LineSender):
    """Every line of every run, as it would be sent."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.begun: list[RunLines] = []
        self.ended: list[RunLines] = []
        self.lines: list[Line] = []
        self.longest = 0

    def begin(self, task: str, attempt: int, run: str) -> RunLines:
        self.begun.append(super().begin(task, attempt, run))
        return self.begun[-1]

    def write(self, lines: RunLines, line: str) -> None:
        super().write(lines, line)
        self.lines.append(Line(*json.loads(line)))
        self.longest = max(self.longest, len(line.encode()))

    def end(self, lines: RunLines) -> None:
        super().end(lines)
        self.ended.append(lines)

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]


class Process:
    """One that keeps what runs write. What it prints, and what its root logger's handler writes from WARNING on, is its
    console.
    """

    def __init__(self, make: MakeTask) -> None:
        self.make = make
        self.console = io.StringIO()
        self.stream: Any = self.console
        self.kept = Kept()
        self.handler = logging.StreamHandler(self.console)
        self.handler.setFormatter(logging.Formatter("[%(levelname)s] %(message)s"))

    @contextmanager
    def keeping(self, level: str = "INFO") -> Iterator[None]:
        """Within a test's own call: pytest gives each of its phases streams and handlers of its own."""
        root = logging.getLogger()
        before = sys.stdout, sys.stderr, root.handlers, root.level
        sys.stdout = sys.stderr = self.stream
        root.handlers = [self.handler]
        root.setLevel(logging.WARNING)
        take_back = keep_what_runs_write(level)
        try:
            yield
        finally:
            take_back()
            sys.stdout, sys.stderr, root.handlers, root.level = before

    def run(self, body: Callable[[Any], Any], attempt: int = 1, **options: Any) -> Ran:
        """Run one attempt of a task with this body."""
        # Celery writes its name into a definition: of a lambda that is none.
        body.__name__ = "body"
        task = self.make(body, **options)
        with self.keeping():
            return run_attempt(task, attempt=attempt)

    @property
    def said(self) -> str:
        """What is on the console."""
        return self.console.getvalue()


@pytest.fixture
def process(make: MakeTask, monkeypatch: pytest.MonkeyPatch) -> Process:
    """Its runs are those of ``pointsman.testing``."""
    made = Process(make)
    monkeypatch.setattr(testing._Bench, "lines", made.kept, raising=False)
    return made


@pytest.fixture
def kept(process: Process) -> Kept:
    """What it kept."""
    return process.kept


def test_each_line_has_its_level_time_and_logger(process: Process, kept: Kept) -> None:
    def body(self: Any) -> None:
        log.info("one of %d", 2)
        log.error("two")

    process.run(body, attempt=3)
    assert [line[1:] for line in kept.lines] == [
        ("info", "tests.writing", "one of 2"),
        ("error", "tests.writing", "two"),
    ]
    assert kept.lines[0].at <= kept.lines[1].at
    (begun,) = kept.begun
    assert begun.attempt == 3
    assert kept.ended == [begun]


def test_run_that_writes_nothing_makes_nothing(process: Process, kept: Kept) -> None:
    process.run(lambda self: None)
    assert (kept.begun, kept.ended) == ([], [])


def test_nothing_outside_of_a_run_is_kept(process: Process, kept: Kept) -> None:
    with process.keeping():
        log.warning("before")
        say("between")
    assert kept.lines == []
    assert process.said == "[WARNING] before\nbetween\n"


def test_console_has_what_it_had_and_no_more(process: Process, kept: Kept) -> None:
    def body(self: Any) -> None:
        log.info("detail")
        log.warning("trouble")
        say("printed")

    process.run(body)
    assert process.said == "[WARNING] trouble\nprinted\n"
    assert kept.texts == ["detail", "trouble", "printed"]


def test_level_that_somebody_sets_themselves_counts(process: Process, kept: Kept) -> None:
    chatty, silent = logging.getLogger("tests.writing.chatty"), logging.getLogger("tests.writing.silent")

    def body(self: Any) -> None:
        chatty.debug("below what is kept")
        chatty.info("on the console too")
        silent.warning("nowhere")

    chatty.setLevel(logging.DEBUG)
    silent.setLevel(logging.ERROR)
    try:
        process.run(body)
    finally:
        chatty.setLevel(logging.NOTSET)
        silent.setLevel(logging.NOTSET)
    assert process.said == "[DEBUG] below what is kept\n[INFO] on the console too\n"
    assert kept.texts == ["on the console too"]


def test_libraries_of_the_worker_say_no_more_than_before(process: Process) -> None:
    names = ("celery.app.trace", "pointsman.run.report", "kombu.connection", "celery.redirected")
    with process.keeping():
        assert not any(logging.getLogger(name).isEnabledFor(logging.INFO) for name in names)
        assert logging.getLogger("celery.worker").isEnabledFor(logging.WARNING)
        assert logging.getLogger("pointsman.shipped.tasks.email").isEnabledFor(logging.INFO)


def test_logger_of_a_task_that_propagates_nowhere_is_kept(process: Process, kept: Kept) -> None:
    # As Celery sets it up.
    parent = logging.getLogger("celery.task")
    parent.propagate = False
    try:
        process.run(lambda self: get_task_logger("tests.writing.task").info("from a task logger"))
    finally:
        parent.propagate = True
    assert kept.texts == ["from a task logger"]


def test_configuration_that_a_body_makes_takes_nothing_away(process: Process, kept: Kept) -> None:
    written = io.StringIO()
    handler = {"class": "logging.StreamHandler", "stream": written}
    root = {"level": "INFO", "handlers": ["own"]}
    config = {"version": 1, "disable_existing_loggers": False, "handlers": {"own": handler}, "root": root}

    def body(self: Any) -> None:
        logging.config.dictConfig(config)
        log.info("configured")

    process.run(body)
    assert written.getvalue() == "configured\n"
    assert kept.texts == ["configured"]


def test_handler_that_writes_to_the_console_keeps_nothing_twice(process: Process, kept: Kept) -> None:
    def body(self: Any) -> None:
        handler = logging.StreamHandler(sys.stderr)
        log.addHandler(handler)
        try:
            log.warning("once")
        finally:
            log.removeHandler(handler)

    process.run(body)
    assert kept.texts == ["once"]


def test_what_a_filter_takes_out_is_not_kept(process: Process, kept: Kept) -> None:
    def mask(record: logging.LogRecord) -> bool:
        record.msg, record.args = str(record.msg).replace("hunter2", "***"), ()
        return True

    def body(self: Any) -> None:
        log.warning("password hunter2")
        log.warning("private")

    process.handler.addFilter(mask)
    run_log_handler.addFilter(left_out := lambda record: "private" not in record.getMessage())
    try:
        process.run(body)
    finally:
        run_log_handler.removeFilter(left_out)
    assert kept.texts == ["password ***"]
    assert "private" in process.said


def test_traceback_is_part_of_its_line(process: Process, kept: Kept) -> None:
    def body(self: Any) -> None:
        try:
            raise KeyError("lost")
        except KeyError:
            log.exception("could not")

    process.run(body)
    (text,) = kept.texts
    assert text.startswith("could not\nTraceback (most recent call last):\n")
    assert text.endswith("KeyError: 'lost'")


@pytest.mark.parametrize(
    ("text", "args", "expected"),
    [
        ("%d files", ("many",), "%d files ('many',)"),
        ("half \ud800 and nul \0", (), "half \ufffd and nul \ufffd"),
        ("two halves \ud83d\ude00", (), "two halves \U0001f600"),
        ("bytes %r", (b"\xff",), "bytes b'\\xff'"),
    ],
)
def test_odd_text_is_kept_as_what_any_database_holds(
    process: Process, kept: Kept, monkeypatch: pytest.MonkeyPatch, text: str, args: tuple[Any, ...], expected: str
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    process.run(lambda self: log.warning(text, *args))
    assert kept.texts == [expected]


@pytest.mark.parametrize("char", ["x", "é", "\x1b", "\n", "\U0001f600"])
def test_huge_line_is_cut(process: Process, kept: Kept, char: str) -> None:
    process.run(lambda self: log.warning(char * 1_000_000))
    (text,) = kept.texts
    assert text.endswith("…\n")
    assert kept.longest <= LINE_BYTES


def test_long_traceback_keeps_its_newest_frames(process: Process, kept: Kept) -> None:
    def deep(depth: int) -> None:
        if depth:
            # Frames that are all alike would be told once.
            exec(f"{'# ' * (depth % 7)}\ndeep({depth - 1})", {"deep": deep})
        raise KeyError("bottom")

    def body(self: Any) -> None:
        try:
            deep(200)
        except KeyError:
            log.exception("fell")

    process.run(body)
    (text,) = kept.texts
    assert text.startswith("fell\n…\n")
    assert text.endswith("KeyError: 'bottom'")
    assert kept.longest <= LINE_BYTES


def test_line_that_cannot_be_made_fails_no_task(process: Process, kept: Kept) -> None:
    class Broken:
        def __str__(self) -> str:
            raise LookupError("no text")

    ran = process.run(lambda self: log.info("%s", Broken()))
    assert ran.state == "succeeded"
    assert kept.texts == ["(this line could not be made: LookupError)"]


def test_soft_time_limit_within_a_line_is_the_tasks(process: Process, kept: Kept) -> None:
    class Slow:
        def __str__(self) -> str:
            raise SoftTimeLimitExceeded

    ran = process.run(lambda self: log.info("%s", Slow()))
    assert ran.error is not None
    assert ran.error["type"] == "SoftTimeLimitExceeded"


def test_prints_are_lines(process: Process, kept: Kept) -> None:
    def body(self: Any) -> None:
        say("a", "b")
        say("to stderr", file=sys.stderr)
        say("begun, ", end="")
        log.info("between")
        say("ended\nanother\n\nafter an empty one")
        sys.stdout.writelines(["w\n", "x\n"])
        say("10 %\r50 %\r", end="")
        say("100 %\r")
        say("windows\r\n", end="")
        say("without an end", end="")

    process.run(body)
    assert [(line.level, line.logger, line.text) for line in kept.lines] == [
        ("info", "stdout", "a b"),
        ("warning", "stderr", "to stderr"),
        ("info", "tests.writing", "between"),
        ("info", "stdout", "begun, ended"),
        ("info", "stdout", "another"),
        ("info", "stdout", ""),
        ("info", "stdout", "after an empty one"),
        ("info", "stdout", "w"),
        ("info", "stdout", "x"),
        ("info", "stdout", "100 %"),
        ("info", "stdout", "windows"),
        ("info", "stdout", "without an end"),
    ]
    assert "begun, ended\n" in process.said


def test_print_without_an_end_is_bounded(process: Process, kept: Kept) -> None:
    def body(self: Any) -> None:
        for _ in range(100):
            say("x" * 1000, end="")

    process.run(body)
    assert len(kept.lines) > 1
    assert kept.longest <= LINE_BYTES


def test_prints_that_celery_redirects_are_kept_once(process: Process, kept: Kept) -> None:
    process.stream = LoggingProxy(logging.getLogger("celery.redirected"), logging.WARNING)
    process.run(lambda self: say("one", "line"))
    assert [(line.logger, line.text) for line in kept.lines] == [("stdout", "one line")]
    # As before: a record for each piece.
    assert process.said == "[WARNING] one\n[WARNING]  \n[WARNING] line\n"


def test_stream_is_what_it_was_in_everything_else(process: Process) -> None:
    with process.keeping():
        stream: Any = sys.stdout
        assert isinstance(stream, PrintedStream)
        say("text", flush=True)
        assert not stream.isatty()
        assert stream.getvalue() == process.said
        assert stream.write("four") == 4


def test_threads_and_coroutines_of_the_body_are_kept(process: Process, kept: Kept) -> None:
    async def body(self: Any) -> None:
        log.info("awaited")
        await asyncio.to_thread(log.info, "in a thread")
        say("printed")

    process.run(body)
    assert kept.texts == ["awaited", "in a thread", "printed"]


def test_thread_that_does_not_know_its_run_is_not_kept(process: Process, kept: Kept) -> None:
    def begin(work: Callable[[], Any]) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    def body(self: Any) -> None:
        begin(lambda: log.warning("whose?"))
        context = contextvars.copy_context()
        begin(lambda: context.run(log.warning, "its own"))

    process.run(body)
    assert kept.texts == ["its own"]


def test_thread_that_outlives_its_run_writes_nothing_more(process: Process, kept: Kept) -> None:
    go, threads = threading.Event(), []

    def late() -> None:
        go.wait()
        log.warning("too late")

    def body(self: Any) -> None:
        threads.append(threading.Thread(target=contextvars.copy_context().run, args=(late,)))
        threads[0].start()

    process.run(body)
    go.set()
    threads[0].join()
    assert kept.lines == []


def test_process_that_a_body_forks_keeps_nothing(process: Process, kept: Kept, tmp_path: Any) -> None:
    def body(self: Any) -> None:
        child = os.fork()
        if child == 0:
            log.warning("in the copy")
            say("in the copy")
            (tmp_path / "kept").write_text(str(len(kept.lines)))
            os._exit(0)
        os.waitpid(child, 0)
        log.warning("in the run")

    process.run(body)
    assert (tmp_path / "kept").read_text() == "0"
    assert kept.texts == ["in the run"]


def test_task_type_that_keeps_no_logs_makes_nothing(process: Process, kept: Kept) -> None:
    def body(self: Any) -> None:
        log.warning("to the console")
        say("printed")

    process.run(body, keep_logs=False)
    assert kept.begun == []
    assert process.said == "[WARNING] to the console\nprinted\n"


def test_off_changes_nothing_of_the_process(process: Process) -> None:
    original = logging.Logger.callHandlers
    with process.keeping("OFF"):
        assert sys.stdout is process.stream
        assert logging.Logger.callHandlers is original
        assert logging.getLogger().level == logging.WARNING


def test_what_is_taken_back_leaves_nothing(process: Process) -> None:
    def state() -> list[Any]:
        names = ("celery", "celery.task", "pointsman", "pointsman.shipped", "kombu")
        return [logging.Logger.callHandlers, sys.stdout, *(logging.getLogger(name).level for name in names)]

    before = state()
    with process.keeping("DEBUG"):
        assert logging.getLogger("any.author").isEnabledFor(logging.DEBUG)
        within = state()
        keep_what_runs_write("DEBUG")()
        assert state() == within != before
    assert state() == before


def test_failed_attempt_keeps_what_it_wrote_before(process: Process, kept: Kept) -> None:
    def body(self: Any) -> None:
        say("almost")
        raise LookupError("gone")

    assert process.run(body).error is not None
    assert kept.texts == ["almost"]
    assert kept.ended == kept.begun
