"""``-p tests.for_a_while``: no test begins once ``POINTSMAN_TESTS_SECONDS`` are over, and what was left out is told.

A run that was cut short and of which nothing failed is a good one.
"""

import os
import time

import pytest

VARIABLE = "POINTSMAN_TESTS_SECONDS"

_until = time.monotonic() + float(os.environ[VARIABLE])
_left_out = pytest.StashKey[int]()
_done = pytest.StashKey[int]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> object:
    """Stop after this one if the time is over."""
    result = yield
    session = item.session
    session.stash[_done] = session.stash.get(_done, 0) + 1
    if nextitem is not None and time.monotonic() > _until:
        session.stash[_left_out] = session.testscollected - session.stash[_done]
        session.shouldstop = "the time is over"
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """What did not fail is good."""
    if session.stash.get(_left_out, 0) and not session.testsfailed:
        session.exitstatus = pytest.ExitCode.OK


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out."""
    session = terminalreporter._session
    if session is not None and (left_out := session.stash.get(_left_out, 0)):
        terminalreporter.write_line(f"the time was over: {left_out} of {session.testscollected} tests did not run")
