import signal
import subprocess
import sys

import pytest

from pointsman_contract.failpoints import BadFailpoints, Failpoint, of_environment, reach
from tests.stand.environment import ROOT, inherited

REACH_THRICE = (
    "from pointsman_contract.failpoints import *\n"
    "for _ in range(3): print('here', flush=True); reach(Failpoint.API_COMMITTED)"
)


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    taken = inherited()
    return subprocess.run(
        [sys.executable, "-c", REACH_THRICE],
        cwd=ROOT,
        env=taken | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_is_armed_without_the_variable() -> None:
    assert of_environment({}) == {}
    assert reach.__name__ == "_pass_by"


def test_an_armed_place_kills_the_process_the_time_it_is_told() -> None:
    died = run(POINTSMAN_FAILPOINTS="api.committed=kill@2", POINTSMAN_TESTING="1")
    assert (died.returncode, died.stdout) == (-signal.SIGKILL, "here\nhere\n")


def test_another_place_is_passed_by() -> None:
    lived = run(POINTSMAN_FAILPOINTS="api.published=kill", POINTSMAN_TESTING="1")
    assert (lived.returncode, lived.stdout) == (0, "here\n" * 3)


def test_failpoints_are_refused_outside_tests() -> None:
    refused = run(POINTSMAN_FAILPOINTS="api.committed=kill")
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "refused unless POINTSMAN_TESTING=1" in refused.stderr


@pytest.mark.parametrize("words", ["nowhere=kill", "api.committed", "api.committed=sing", "api.committed=kill@0"])
def test_a_place_or_action_that_does_not_exist_is_refused(words: str) -> None:
    with pytest.raises(BadFailpoints, match="is not NAME=kill or NAME=stop"):
        of_environment({"POINTSMAN_FAILPOINTS": words, "POINTSMAN_TESTING": "1"})


def test_every_place_is_in_the_code() -> None:
    sources = [path.read_text() for name in ("service", "workers") for path in (ROOT / name).rglob("*.py")]
    for place in Failpoint:
        assert any(f"reach(Failpoint.{place.name})" in source for source in sources), place
