"""``python -m pointsman_service …`` as a person runs it, without any server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pointsman_contract.run_file import RunFile
from pointsman_service import telemetry
from pointsman_service.__main__ import cli
from pointsman_service.settings import Settings
from tests.stand.environment import ROOT, inherited

COMMANDS = (
    "api", "dispatcher", "recorder", "reconciler", "all", "migrate", "index", "config", "routes", "doctor", "explain",
    "openapi",
)  # fmt: skip


class Said(NamedTuple):
    """What a command said, and how it ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs ``python -m pointsman_service`` with nothing of this shell's settings, and a database that is not there: in
    this process, for one of its own takes a second to read the code.
    """
    for name in os.environ.keys() - inherited().keys():
        monkeypatch.delenv(name)
    monkeypatch.setenv("POINTSMAN_DATA_DIR", str(tmp_path))
    # It would hold for the tests that follow, whose streams are others.
    monkeypatch.setattr(telemetry, "configure_logging", lambda _: None)

    def run(*words: str, **variables: str) -> Said:
        capsys.readouterr()
        with monkeypatch.context() as given:
            for name, value in variables.items():
                given.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                cli(list(words), prog_name="python -m pointsman_service")
        return Said(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def typed(tmp_path: Path) -> Any:
    """The same as a process."""

    def typed(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        taken = inherited()
        return subprocess.run(
            [sys.executable, "-m", "pointsman_service", *words],
            cwd=ROOT,
            env=taken | {"POINTSMAN_DATA_DIR": str(tmp_path)} | variables,
            capture_output=True,
            text=True,
            check=False,
        )

    return typed


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A configuration with something of everything."""
    path = tmp_path / "a b.toml"
    path.write_text(
        'database_url = "postgresql://app:hunter2@127.0.0.1:1/x"\nport = 9000\n'
        '[CELERY_TASK_ROUTES]\nsend_reminder_email = {queue = "email"}\n"feeds.*" = {queue = "reports", priority = 2}\n'
        '[CIRCUIT_BREAKER]\nfailure_threshold = 7\nexpected_exception = "ConnectionError"\n'
    )
    return str(path)


def test_every_command_is_listed_and_has_help_that_says_what_it_needs_and_how_it_exits(run: Any, typed: Any) -> None:
    answer = typed()
    listed = answer.stdout + answer.stderr
    for command in COMMANDS:
        assert f"\n  {command} " in listed
    for command in COMMANDS:
        words = " ".join(run(command, "--help").stdout.split())
        assert command in words.partition("[OPTIONS]")[0]
        assert "Needs " in words, command
        assert "xits " in words, command


def test_config_shows_every_setting_with_its_origin_and_no_password(typed: Any, file: str) -> None:
    answer = typed("config", "--json", POINTSMAN_CONFIG=file, POINTSMAN_PORT="9001")
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    shown = {row["name"]: row for row in document["settings"]}
    assert document["file"] == file
    assert list(shown) == list(Settings.model_fields)
    assert (shown["port"]["value"], shown["port"]["origin"]) == (9001, "POINTSMAN_PORT")
    assert shown["database_url"]["value"] == "postgresql+asyncpg://app:***@127.0.0.1:1/x"
    assert shown["database_url"]["origin"] == f"{file}: database_url"
    assert shown["circuit_breaker"]["value"]["failure_threshold"] == 7
    assert shown["circuit_breaker"]["value"]["expected_exception"] == ["ConnectionError"]
    assert shown["retry_policy"]["source"] == "default"
    assert shown["task_routes"]["value"]["feeds.*"] == {"queue": "reports", "priority": 2}
    assert "hunter2" not in answer.stdout + answer.stderr


def test_config_for_people_is_plain_text_when_nobody_sees_a_terminal(run: Any, file: str) -> None:
    text = run("config", POINTSMAN_CONFIG=file).stdout
    assert "\x1b" not in text
    assert "hunter2" not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert f"port 9000 {file}: port" in lines
    assert "send_reminder_email queue email" in lines
    assert "expected_exception ConnectionError" in lines
    assert "max_retries 3" in lines


def test_config_shows_the_servers_of_a_running_up(run: Any, tmp_path: Path) -> None:
    RunFile(
        supervisor_pid=os.getpid(), database_url="postgresql+asyncpg://app@/x", redis_url="redis://h/0", api_url=""
    ).write(tmp_path)
    shown = {row["name"]: row for row in json.loads(run("config", "--json").stdout)["settings"]}
    assert shown["redis_url"]["value"] == "redis://h/0"
    assert shown["redis_url"]["origin"] == f"{tmp_path / 'run.json'}: redis_url"


def test_check_is_silent_when_all_is_well_and_names_each_fault_when_not(run: Any, typed: Any, tmp_path: Path) -> None:
    well = typed("config", "--check")
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
    path = tmp_path / "a.py"
    path.write_text("CELERY_TASK_ROUTES = {'a': {'queue': 'email', 'exchange': 'x'}}\nport = 'x'\n")
    ill = run("config", "--check", POINTSMAN_CONFIG=str(path))
    assert (ill.returncode, ill.stdout) == (2, "")
    assert [line.split(": ")[:2] for line in sorted(ill.stderr.splitlines())] == [
        [str(path), "CELERY_TASK_ROUTES.a"],
        [str(path), "port"],
    ]


@pytest.mark.parametrize(
    ("words", "name"),
    [(["api"], "a.toml"), (["migrate"], "a.json"), (["routes"], "a.py"), (["config"], "of_nobody.settings")],
)
def test_missing_file_ends_any_command_with_one_line_and_status_2(
    run: Any, tmp_path: Path, words: list[str], name: str
) -> None:
    named = name if "." in name and name.endswith("settings") else str(tmp_path / name)
    answer = run(*words, POINTSMAN_CONFIG=named)
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert line.startswith(f"{named}: ")


def test_misspelt_variable_is_pointed_out(typed: Any) -> None:
    answer = typed("config", POINTSMAN_PROT="1")
    assert answer.returncode == 0
    assert answer.stderr == "POINTSMAN_PROT: there is no such setting; did you mean POINTSMAN_PORT?\n"


def test_option_off_its_bounds_is_named_as_the_option(run: Any) -> None:
    answer = run("api", "--port", "70000")
    assert (answer.returncode, answer.stderr) == (2, "--port: Input should be less than or equal to 65535\n")


def test_routes_without_a_task_type_shows_queues_bands_and_routes(run: Any, file: str) -> None:
    lines = [" ".join(line.split()) for line in run("routes", POINTSMAN_CONFIG=file).stdout.splitlines()]
    assert "high_priority 8 3 s 8..9 high_priority" in lines
    assert "email 7 5 s no: by name or route only email" in lines
    assert "critical 10 2 s 10 critical, high_priority" in lines
    assert "feeds.* reports 2" in lines
    document = json.loads(run("routes", "--json", POINTSMAN_CONFIG=file).stdout)
    bands = {queue["name"]: queue["priorities"] for queue in document["queues"]}
    assert sorted(number for band in bands.values() for number in band) == list(range(11))
    assert (bands["high_priority"], bands["email"]) == ([8, 9], [])


def test_routes_names_the_pattern_that_matched(run: Any, file: str) -> None:
    answer = run("routes", "feeds.import", "--offline", POINTSMAN_CONFIG=file)
    assert answer.returncode == 0
    text = " ".join(answer.stdout.split())
    assert text.startswith("feeds.import -> reports, priority 2 queue reports: the route 'feeds.*' of task_routes")
    assert "to be started within 60 s of being due" in text
    assert "pools reports (1 process)" in text
    assert "the database was not asked (--offline)" in text


def test_routes_explains_the_rule_of_priority(run: Any) -> None:
    text = " ".join(run("routes", "f", "--priority", "9", "--offline").stdout.split())
    assert "of the queues that accept any task, critical 10, high_priority 8, reports 6, maintenance 3" in text
    assert "(email, external_api: by name or route only)" in text
    low = json.loads(run("routes", "f", "--priority", "1", "--offline", "--json").stdout)
    assert (low["queue"], low["priority"], low["queue_by"], low["priority_by"]) == (
        "maintenance", 1, "priority", "submission",
    )  # fmt: skip
    assert "is below all queues that accept any task" in low["queue_reason"]


def test_routes_goes_on_without_the_database_and_says_so(run: Any, typed: Any, file: str) -> None:
    for answer in (typed("routes", "f", "--json", POINTSMAN_CONFIG=file), run("routes", "f", "--json")):
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)["catalogue_asked"] is False
    text = " ".join(typed("routes", "f", POINTSMAN_CONFIG=file).stdout.split())
    assert "the database could not be asked (ConnectionRefusedError)" in text


def test_migrate_says_in_one_line_why_it_cannot(typed: Any, file: str) -> None:
    answer = typed("migrate", POINTSMAN_CONFIG=file)
    assert answer.returncode == 1
    (line,) = answer.stderr.splitlines()
    assert line.startswith(
        "The schema of postgresql://app:***@127.0.0.1:1/x was not brought to head: ConnectionRefusedError: "
    )
    assert "hunter2" not in line


def test_config_check_refuses_names_that_are_no_setting_and_says_what_was_meant(run: Any, tmp_path: Path) -> None:
    module = tmp_path / "pointsman_settings.py"
    module.write_text("databse_url = 'postgresql://app@h/x'\ncolour = 'red'\nport = 9000\n")
    answer = run("config", "--check", POINTSMAN_CONFIG=str(module), POINTSMAN_DATABASE_CONECTIONS="20")
    assert answer.returncode == 2
    assert answer.stderr.splitlines() == [
        "POINTSMAN_DATABASE_CONECTIONS: there is no such setting; did you mean POINTSMAN_DATABASE_CONNECTIONS?",
        f"{module}: databse_url: there is no such setting; did you mean database_url?",
    ]
    shown = run("config", "--json", POINTSMAN_CONFIG=str(module))
    assert shown.returncode == 0, "it is shown all the same"
    assert "databse_url" in shown.stderr


def test_queue_that_does_not_exist_ends_routes_with_status_1(run: Any) -> None:
    answer = run("routes", "f", "--queue", "nowhere", "--offline")
    assert answer.returncode == 1
    assert answer.stderr.startswith("There is no queue 'nowhere'; the queues are critical,")


@pytest.mark.parametrize("words", [["routes", "f", "--priority", "11"], ["routes", "--queue", "email"], ["nothing"]])
def test_words_that_mean_nothing_end_with_status_2(run: Any, words: list[str]) -> None:
    assert run(*words).returncode == 2
