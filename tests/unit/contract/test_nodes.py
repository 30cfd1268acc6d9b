import subprocess
from itertools import pairwise

import pytest

from pointsman_contract.nodes import node_name, pool_of, worker_words
from pointsman_contract.queues import DEFAULT_TOPOLOGY, PoolSpec
from tests.stand.environment import ROOT


@pytest.mark.parametrize("pool", [pool.name for pool in DEFAULT_TOPOLOGY.pools])
@pytest.mark.parametrize("number", [1, 2, 13])
def test_pool_of_a_node_is_told_by_its_name(pool: str, number: int) -> None:
    assert pool_of(node_name(pool, number, "host-7.example.org")) == pool


def test_first_node_of_a_pool_has_its_plain_name() -> None:
    assert (node_name("email", host="h"), node_name("email", 2, "h")) == ("email@h", "email-2@h")


def test_command_line_names_node_queues_processes_and_prefetch() -> None:
    pool = PoolSpec(name="fast", queues=("critical", "email"), processes=3, prefetch_multiplier=4)
    words = worker_words(pool, 2, "INFO")
    options = dict(pairwise(words))
    assert words[words.index("-m") : words.index("-m") + 4] == ("-m", "celery", "-A", "pointsman")
    wanted = {"-n": "fast-2@%h", "-Q": "critical,email", "-c": "3", "--prefetch-multiplier": "4", "-l": "INFO"}
    assert {name: options[name] for name in wanted} == wanted


def test_script_finds_the_pool_of_a_node_as_python_does() -> None:
    nodes = ["email", "email-2", "imports.eu", "imports-eu", "imports-eu-2", "imports-2eu"]
    words = ["bash", "-c", 'source scripts/daemons.sh; for node in "$@"; do pool_of "$node"; done', "-", *nodes]
    found = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout.split()
    assert found == [pool_of(node) for node in nodes]
