import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pointsman_contract.configuration import load
from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_service.embedded.errors import InvalidOption
from pointsman_service.embedded.options import Options, Pools, parse_options, refuse_other_host, with_file
from pointsman_service.embedded.plan import DEMO_TASKS, make_plan
from pointsman_service.settings import Settings


def test_defaults_are_port_8000_and_a_directory_below_the_working_one() -> None:
    assert parse_options([], {}) == Options(data_dir=Path.cwd() / ".pointsman")


def test_options_win_over_the_environment() -> None:
    environment = {"POINTSMAN_PORT": "9001", "POINTSMAN_DATA_DIR": "/srv/a"}
    assert parse_options([], environment).port == 9001
    assert parse_options([], environment).data_dir == Path("/srv/a")
    given = parse_options(["--port", "9002", "--data-dir", "/srv/b"], environment)
    assert (given.port, given.data_dir) == (9002, Path("/srv/b"))


def test_relative_data_dir_means_where_the_user_stood() -> None:
    given = parse_options(["--relative-to", "/home/ann", "--data-dir", "../here"], {})
    assert given.data_dir == Path("/home/here")


def test_empty_url_means_the_embedded_server() -> None:
    given = parse_options([], {"POINTSMAN_DATABASE_URL": "", "POINTSMAN_REDIS_URL": "redis://cache/1"})
    assert given.database_url is None
    assert given.redis_url == "redis://cache/1"


def test_configuration_file_completes_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('port = 9000\nredis_url = "redis://cache/1"\n')
    given = parse_options([], with_file({"POINTSMAN_REDIS_URL": "redis://other/2"}, load(str(path))))
    assert (given.port, given.redis_url, given.database_url) == (9000, "redis://other/2", None)


def test_bad_setting_ends_up_with_its_line_and_nothing_is_started(tmp_path: Path) -> None:
    environment = {**os.environ, "POINTSMAN_BODY_BYTES": "1", "POINTSMAN_DATA_DIR": str(tmp_path / "data")}
    words = [sys.executable, "-m", "pointsman_service.embedded", "--pools", "none"]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    line = "up: error: POINTSMAN_BODY_BYTES: Input should be greater than or equal to 1024\n"
    assert (ended.returncode, ended.stderr) == (2, line)
    assert not (tmp_path / "data").exists()


def test_an_address_of_the_network_is_refused_and_not_ignored() -> None:
    with pytest.raises(InvalidOption, match=r"binds 127\.0\.0\.1 alone.*POINTSMAN_HOST=10\.0\.0\.2 python -m"):
        refuse_other_host(Settings(host="10.0.0.2"))
    refuse_other_host(Settings(host="localhost"))


@pytest.mark.parametrize("port", ["x", "-1", "65536", "80.5"])
def test_port_that_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(InvalidOption, match="is not a port"):
        parse_options([], {"POINTSMAN_PORT": port})


def test_full_runs_one_node_per_pool_with_its_queues_in_order() -> None:
    plan = make_plan(Pools.FULL, 8000)
    assert [worker.name for worker in plan.workers] == [f"w.{pool.name}" for pool in DEFAULT_TOPOLOGY.pools]
    words = plan.workers[1].command
    assert words[words.index("-Q") + 1] == "critical,high_priority"
    assert words[words.index("-c") + 1] == "2"
    assert plan.demo is None


def test_compact_runs_one_node_over_all_queues_the_most_urgent_first() -> None:
    (worker,) = make_plan(Pools.COMPACT, 8000).workers
    queues = worker.command[worker.command.index("-Q") + 1].split(",")
    assert queues[0] == "critical"
    assert set(queues) == {queue.name for queue in DEFAULT_TOPOLOGY.queues}


def test_none_runs_no_worker() -> None:
    assert make_plan(Pools.NONE, 8000).workers == ()


def test_demo_knows_the_port_and_the_nodes_have_its_tasks_and_its_bank_beside_their_own() -> None:
    plan = make_plan(Pools.FULL, 8123, demo=True, task_modules="letters, orders")
    assert plan.demo is not None
    words = plan.demo.command
    assert words[-1] == "http://127.0.0.1:8123"
    bank = words[words.index("--bank-port") + 1]
    given = {
        "POINTSMAN_TASK_MODULES": f"letters, orders,{DEMO_TASKS}",
        "POINTSMAN_DEMO_URL": f"http://127.0.0.1:{bank}",
    }
    assert [worker.environment for worker in plan.workers] == [given] * len(DEFAULT_TOPOLOGY.pools)
    assert importlib.util.find_spec(DEMO_TASKS) is not None


def test_modules_of_tasks_come_from_the_environment_or_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('task_modules = ["letters", "orders"]\n')
    assert parse_options([], with_file({}, load(str(path)))).task_modules == "letters,orders"
    assert parse_options([], with_file({"POINTSMAN_TASK_MODULES": "mine"}, load(str(path)))).task_modules == "mine"
