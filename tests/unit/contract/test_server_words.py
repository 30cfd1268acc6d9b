import pytest

from pointsman_contract.server_urls import password_of
from pointsman_contract.server_words import server_words


class WrappedError(Exception):
    def __init__(self, orig: BaseException) -> None:
        super().__init__("(some.adapter) a long text\n[SQL: SELECT 1]")
        self.orig = orig


def adapted(cause: BaseException) -> WrappedError:
    adapter = RuntimeError("adapted")
    adapter.__cause__ = cause
    return WrappedError(adapter)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(111, "Connect call failed"), "ConnectionRefusedError: [Errno 111] Connect call failed"),
        (adapted(PermissionError('password authentication failed for user "a"')),
         'PermissionError: password authentication failed for user "a"'),
        (WrappedError(ValueError("two\n  lines")), "ValueError: two lines"),
        (TimeoutError(), "TimeoutError: no answer in time"),
        (KeyError(), "KeyError"),
    ],
)  # fmt: skip
def test_words_of_a_server_are_one_line_with_the_drivers_class(error: Exception, words: str) -> None:
    assert server_words(error) == words


def test_words_hold_no_password_and_no_novel() -> None:
    assert server_words(OSError("no pass for hunter2 at h"), ["hunter2"]) == "OSError: no pass for *** at h"
    assert len(server_words(OSError("x" * 10_000))) == 300


@pytest.mark.parametrize(
    ("url", "passwords"),
    [
        ("redis://:p%40ss@h:6379/0", ["p@ss"]),
        ("rediss://h:6379/0?password=other", ["other"]),
        ("postgresql://app@h/x", []),
    ],
)
def test_password_of_a_url_is_as_the_server_is_told_it(url: str, passwords: list[str]) -> None:
    assert password_of(url) == passwords
