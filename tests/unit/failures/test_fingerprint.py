"""Failures of one cause have one group, and those of two causes have two."""

import os
import random
import time
import uuid
from collections import defaultdict

import pytest

from pointsman_service.failures.fingerprint import group_of, rest_of
from pointsman_service.failures.frames import frames_of, innermost
from pointsman_service.failures.message import LONGEST, normalised
from tests.unit.failures.corpus import CAUSES, failures

SEED = int(os.environ.get("POINTSMAN_TEST_SEED", random.randrange(10**9)))
ROUNDS = int(os.environ.get("POINTSMAN_TEST_ROUNDS", 3))


@pytest.mark.parametrize("seed", [SEED + number for number in range(ROUNDS)])
def test_a_thousand_failures_of_twelve_causes_are_twelve_groups(seed: int) -> None:
    groups = defaultdict(set)
    for cause, failure in failures(1000, seed):
        groups[group_of(*failure)].add(cause)
    assert len(CAUSES) == 12
    assert sorted(groups.values(), key=min) == [{cause} for cause in range(12)], f"seed {seed}"


def test_a_group_has_the_same_id_for_ever() -> None:
    """The version in it rises with whatever changes this."""
    told = group_of("charge", "KeyError", "'price'", 'Traceback\n  File "/app/shop/tasks.py", line 3, in charge\n')
    assert told == "8a32a2ea-6908-89e5-bc19-23f99e65cf51"
    assert group_of("charge", None, None, None) == group_of("charge", "", "", "")
    assert rest_of("charge") != group_of("charge", "", "", "")
    assert uuid.UUID(told).version == 8


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("user 42 not found", "user <n> not found"),
        ("user -1.5e-7 not found", "user <n> not found"),
        ("order 3f2504e0-4f89-11d3-9a0c-0305e82c3301!", "order <n>!"),
        ("order 12345678, order deadbeef, order 0xFF", "order <n>, order <n>, order <n>"),
        ("order 01ARZ3NDEKTSV4RRFFQ69G5FAV is gone", "order <n> is gone"),
        ("cus_NffrFeUfNV2Hib is gone", "cus_<n> is gone"),
        ("no answer from 10.0.0.1:5432", "no answer from <host>"),
        ("no answer from fe80::1%eth0 or [::1]:80", "no answer from <host> or <host>"),
        ("no answer from api.bank.example:443", "no answer from <host>"),
        ("GET https://a.example/x?y=1 (2 tries)", "GET <url> (<n> tries)"),
        ("bob.o'hara+1@a.example refused", "bob.o'<mail> refused"),
        ("due 2026-11-28T23:45:06.123+01:00, now 12:30", "due <time>, now <time>"),
        ("due Sat Nov 28 23:45:06 2026 or 28/Nov/2026:23:11:02 +0000", "due <time> or <time>"),
        ("no such file: /var/a/b.csv", "no such file: <path>"),
        ("no such file: C:\\Users\\ada\\b.csv", "no such file: <path>"),
        ("no such file: data/b.csv", "no such file: <path>"),
        ("can't find 'it' for user's \"thing\"", "can't find <text> for user's <text>"),
        ("unknown word 'cut in the mid", "unknown word <text>"),
        ("{'a': 1, 'b': [1, 2]}", "{<text>: [<n>]}"),
        ("and/or application/json, utf8", "and/or application/json, utf<n>"),
        ("two\n  lines", "two lines"),
        ("instance i-0abcd1234ef567890 is gone", "instance i-<n> is gone"),
        ("instance i-abcd1234ef567890a is gone", "instance i-<n> is gone"),
        ("instance i-12345678901234567 is gone", "instance i-<n> is gone"),
        ("job-3f2a1b and job-302114, worker-3", "job-<n> and job-<n>, worker-<n>"),
        ("pod api-6c8f7d9b5-qwxzv, checkout-service-5x4f8c7b9d-x2k9p", "pod api-<n>, checkout-service-<n>"),
        ("pod web-0, fluentd-qwxzv, fluentd-x7k2p", "pod web-<n>, fluentd-<n>, fluentd-<n>"),
        ("ref K7Q-9F3, ref KQ7-93F", "ref <n>, ref <n>"),
        ("ORA-00942 in ISO-8859-1, non-https, -5 and a - 5", "ORA-<n> in ISO-<n>, non-https, <n> and a - <n>"),
        ('Kunde „Müller“ fehlt, Kunde „Maier" auch', "Kunde <text> fehlt, Kunde <text> auch"),
        ("\u201aPeter\u2019s Hut\u2018 und \u2018Bob\u2019, it\u2018s", "<text> und <text>, it\u2018s"),
        ("client « Zoé » et «Bob», \u203ax\u2039 »y« \u2039z\u203a 「w」!", "client <text> et <text>!"),
        ("due 29.11., 3.1. or 29.11.2026", "due <n>. or <n>"),
        ("due 11/29 for 2026-11", "due <n> for <n>"),
        ("due 2025/1/2 12:00, 28 Nov, 29. Dez. 2026", "due <time>"),
        ("no file in 2025/1/2/a.csv but 5 Marks", "no file in <path> but <n> Marks"),
        ("", ""),
        ("x" * 3000, "x" * (LONGEST - 1) + "…"),
    ],
)
def test_what_differs_each_time_is_a_word(message: str, told: str) -> None:
    assert normalised(message) == told


def test_frames_are_those_of_the_author_without_lines_and_places() -> None:
    traceback = (
        "Traceback (most recent call last):\n"
        '  File "/app/shop/first.py", line 1, in cause\n    x\nKeyError: 1\n\n'
        "The above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):\n"
        '  File "/v/lib/python3.12/site-packages/pointsman/run/managed_run.py", line 9, in run_body\n    x\n'
        '  File "/srv/shop-1.2.9/shop/tasks.py", line 12, in charge\n    x\n'
        '  File "/srv/shop-1.2.9/shop/deep.py", line 3, in again\n    x\n'
        "  [Previous line repeated 9 more times]\n"
        '  File "/srv/shop-1.2.9/shop/deep.py", line 3, in again\n    x\n'
        '  File "/v/lib/python3.12/site-packages/httpx/_client.py", line 9, in send\n    x\n'
        '  File "/usr/lib/python3.12/ssl.py", line 9, in read\n    x\n'
        '  File "<frozen importlib._bootstrap>", line 9, in load\n    x\n'
        "ValueError: x\n"
    )
    assert frames_of(traceback) == ("shop/deep.py again", "shop/tasks.py charge")


def test_frames_of_an_installed_application_are_its_own() -> None:
    traceback = (
        "Traceback (most recent call last):\n"
        '  File "/v/lib/python3.12/site-packages/celery/app/task.py", line 9, in run\n    x\n'
        '  File "/v/lib/python3.12/site-packages/shop/tasks.py", line 12, in charge\n    x\n'
        "ValueError: x\n"
    )
    assert frames_of(traceback) == ("shop/tasks.py charge",)


def test_first_line_to_look_at_is_the_innermost_of_the_author() -> None:
    traceback = (
        "Traceback (most recent call last):\n"
        '  File "/app/shop/tasks.py", line 12, in charge\n    pay()\n'
        '  File "/app/shop/prices.py", line 88, in pay\n    json.loads(x)\n'
        '  File "/usr/lib/python3.12/json/__init__.py", line 346, in loads\n    ...\n'
        "ValueError: no JSON\n"
    )

    assert innermost(traceback) == "shop/prices.py:88"
    assert innermost("") is None
    installed = traceback.replace("/app/shop/", "/x/site-packages/acme/")
    assert innermost(installed) == "acme/prices.py:88"


def test_frames_of_an_exception_group_are_found() -> None:
    traceback = (
        "  + Exception Group Traceback (most recent call last):\n"
        '  |   File "/app/shop/tasks.py", line 12, in gather\n  |     x\n'
        "  | ExceptionGroup: several (1 sub-exception)\n"
        "  +-+---------------- 1 ----------------\n"
        "    | Traceback (most recent call last):\n"
        '    |   File "/app/shop/tasks.py", line 3, in one\n    |     x\n'
        "    | ValueError: x\n    +------------------------------------\n"
    )
    assert frames_of(traceback) == ("shop/tasks.py one",)


def test_recursion_of_any_depth_is_one_cause() -> None:
    def traceback(depth: int) -> str:
        turns = '  File "/app/a/b.py", line 1, in even\n    x\n  File "/app/a/b.py", line 2, in odd\n    x\n' * depth
        return f"Traceback (most recent call last):\n{turns}RecursionError: x\n"

    assert frames_of(traceback(1)) == frames_of(traceback(400)) == ("a/b.py odd", "a/b.py even")


_HOSTILE = (
    "'a ", '"', "a@", "a.b", "/", "/a", "\\", "1:", "a-1", "<", "1,", ":", "a1", "a", "1", ".1", "x://", "'\\", "a/",
    "a.a/", "-", "_1a", "a:", "0x", "[1:", " ", "Jan ", "Sat, 1 ", "1.1.1.", "a-", "b'", "~/.", "é'", "`", "“",
    "a" * 64,
    "„", "\u201a\u2019", "\u201aa\u2019b", "\u2018", "»", "\u203a", "«a",
    "A1-", "AB-", "bcdfgh-", "bcdfghbcdf", "-0a", "x-1", "i-0", "1. ",
    "1/1/", "29. ",
)  # fmt: skip


def test_no_message_takes_long() -> None:
    """Each piece alone, and with an end that fits nothing: twice the length takes about twice the time, not four times.

    The fastest of several rounds, in time of this process, so that others beside it do not count.
    """
    for piece in _HOSTILE:
        for end in ("", "!", "1", "a", '"'):
            message = (piece * 2048)[: 2047 - len(end)] + end
            assert _took(message) < 0.02, (piece, end)


def test_no_traceback_takes_long() -> None:
    for line in (
        '  File "',
        '  File "a", line 1, in f\n',
        "Traceback (most recent call last):\n",
        "  |" * 9,
        "\n",
        '"',
    ):
        traceback = line * (200_000 // len(line))
        began = time.process_time()
        frames_of(traceback)
        assert time.process_time() - began < 0.05, line


def _took(message: str) -> float:
    rounds = []
    for _ in range(3):
        normalised.cache_clear()
        began = time.process_time()
        normalised(message)
        rounds.append(time.process_time() - began)
    return min(rounds)
