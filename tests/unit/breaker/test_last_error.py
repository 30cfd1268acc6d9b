from dataclasses import asdict

from pointsman_service.breaker.last_error import TOGETHER_SECONDS, LastError, Said, following, in_words

NO_SUCH = Said("ValueError", "no such customer")


def test_failures_with_one_exception_are_counted_together() -> None:
    error = following(None, NO_SUCH, "a", 0.0)
    error = following(error, Said("ValueError", "another customer"), "b", TOGETHER_SECONDS)
    assert error == LastError("ValueError", "another customer", "b", TOGETHER_SECONDS, 2)


def test_another_exception_and_a_long_pause_begin_anew() -> None:
    first = following(None, NO_SUCH, "a", 0.0)
    assert following(first, Said("KeyError", "'id'"), "b", 1.0).count == 1
    assert following(first, NO_SUCH, "b", TOGETHER_SECONDS + 1).count == 1


def test_long_messages_are_cut() -> None:
    error = following(None, Said("E" * 1000, "m" * 10_000), None, 0.0)
    assert (len(error.type), len(error.message)) == (200, 500)
    assert len(in_words(asdict(error))) < 450


def test_error_is_told_in_one_line() -> None:
    once = following(None, Said("ValueError", "no\n  such customer"), "id-1", 0.0)
    assert in_words(asdict(once)) == "ValueError: no such customer (once, last of task id-1)."
    assert in_words(asdict(following(None, Said("E\x1br", "a\n \u202eb"), None, 1.0))) == "E r: a b (once)."
    assert in_words(asdict(following(once, Said("ValueError"), None, 1.0))) == "ValueError (2 times)."
