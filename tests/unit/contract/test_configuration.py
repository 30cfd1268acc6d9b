import json
import sys
from pathlib import Path

import pytest

from pointsman_contract.configuration import BadConfiguration, load, unknown_variables


def write(directory: Path, name: str, text: str) -> str:
    path = directory / name
    path.write_text(text)
    return str(path)


def values(named: str) -> dict[str, object]:
    return {name: entry.value for name, entry in load(named).entries.items()}


def fault(named: str) -> str:
    with pytest.raises(BadConfiguration) as raised:
        load(named)
    (line,) = raised.value.lines
    return line


def test_toml_is_read_by_the_names_of_settings_and_by_those_people_have(tmp_path: Path) -> None:
    named = write(
        tmp_path,
        "a.toml",
        'port = 9000\n[CELERY_TASK_ROUTES]\na = {queue = "email"}\n[CIRCUIT_BREAKER]\nfailure_threshold = 7\n'
        "[CELERY_RETRY_POLICY]\nmax_retries = 1\n",
    )
    assert values(named) == {
        "port": 9000,
        "task_routes": {"a": {"queue": "email"}},
        "circuit_breaker": {"failure_threshold": 7},
        "retry_policy": {"max_retries": 1},
    }
    assert load(named).entries["task_routes"].key == "CELERY_TASK_ROUTES"


def test_json_is_read_likewise(tmp_path: Path) -> None:
    named = write(tmp_path, "a.json", json.dumps({"task_routes": {"a": "email"}, "RETRY_POLICY": {"jitter": False}}))
    assert values(named) == {"task_routes": {"a": "email"}, "retry_policy": {"jitter": False}}


def test_python_file_gives_its_known_names_and_keeps_the_others(tmp_path: Path) -> None:
    named = write(
        tmp_path,
        "celeryconfig.py",
        "from email import policy as host\n"
        "BROKER_URL = 'redis://elsewhere'\nDATABASES = {}\nPORT = 1\nsome_name = 2\n"
        "def topology(): ...\n"
        "CELERY_TASK_ROUTES = {'send_reminder_email': {'queue': 'email'}}\n"
        "CIRCUIT_BREAKER = {'expected_exception': Exception}\nlog_level = 'ERROR'\n",
    )
    assert values(named) == {
        "task_routes": {"send_reminder_email": {"queue": "email"}},
        "circuit_breaker": {"expected_exception": Exception},
        "log_level": "ERROR",
    }


def test_module_is_imported_by_its_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "of_the_test"
    package.mkdir()
    write(package, "__init__.py", "")
    write(package, "settings.py", "from .base import *\n")
    write(package, "base.py", "RETRY_POLICY = {'max_retries': 9}\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert values("of_the_test.settings") == {"retry_policy": {"max_retries": 9}}
        assert fault("of_the_test.nothing").startswith("of_the_test.nothing: there is no module of_the_test.nothing;")
    finally:
        for name in [name for name in sys.modules if name.startswith("of_the_test")]:
            del sys.modules[name]


def test_python_file_runs_once_per_process(tmp_path: Path) -> None:
    named = write(tmp_path, "a.py", "with open(__file__ + '.runs', 'a') as runs: runs.write('x')\nport = 9000\n")
    assert values(named) == values(named) == {"port": 9000}
    assert (tmp_path / "a.py.runs").read_text() == "x"


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("databse_url", "; did you mean database_url?"),
        ("POINTSMAN_PORT", "; did you mean port?"),
        ("CELERY_TASK_ROUTE", "; did you mean CELERY_TASK_ROUTES?"),
        ("wholly_other", ""),
    ],
)
def test_unknown_name_is_a_fault_with_a_suggestion_when_there_is_one(tmp_path: Path, key: str, suggestion: str) -> None:
    named = write(tmp_path, "a.toml", f"{key} = 1\n")
    assert fault(named) == f"{named}: {key}: there is no such setting{suggestion}"


def test_every_unknown_name_has_its_own_line(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as raised:
        load(write(tmp_path, "a.json", '{"x1": 1, "port": 2, "x2": 3}'))
    assert [line.split(": ")[1] for line in raised.value.lines] == ["x1", "x2"]


def test_setting_named_twice_is_a_fault(tmp_path: Path) -> None:
    named = write(tmp_path, "a.py", "task_routes = {}\nCELERY_TASK_ROUTES = {}\n")
    assert fault(named) == f"{named}: task_routes and CELERY_TASK_ROUTES are the same setting: keep one of them"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.toml", "port = \n", "is not TOML: Invalid value (at line 1, column 8)"),
        ("a.json", '{"port": }', "is not JSON: Expecting value: line 1 column 10 (char 9)"),
        ("a.json", "[1]", "must be a JSON object of setting names and values"),
        ("a.py", "port = (\n", "cannot be loaded: a.py line 1: SyntaxError: '(' was never closed"),
        ("a.py", "\nport = {}['X']\n", "cannot be loaded: a.py line 2: KeyError: 'X'"),
        ("a.py", "import nothing_of_that_name\n", "cannot be loaded: a.py line 1: ModuleNotFoundError: No module"),
        ("a.py", "import json\njson.loads('x')\n", "cannot be loaded: a.py line 2: JSONDecodeError: Expecting value"),
        ("a.py", "raise SystemExit('no\\nway')\n", "cannot be loaded: a.py line 1: SystemExit: no"),
        ("a.py", "open('/nothing/here')\n", "cannot be loaded: a.py line 1: FileNotFoundError"),
    ],
)
def test_file_that_cannot_be_used_is_one_line_that_says_where(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    named = write(tmp_path, name, text)
    line = fault(named)
    assert line.startswith(f"{named}: {expected}")
    assert "\n" not in line


@pytest.mark.parametrize("name", ["a.toml", "a.json", "a.py"])
def test_missing_file_says_so(tmp_path: Path, name: str) -> None:
    named = str(tmp_path / name)
    assert fault(named) == f"{named}: cannot be read: No such file or directory (POINTSMAN_CONFIG)"


def test_file_of_another_kind_is_refused() -> None:
    assert fault("/etc/pointsman.yaml").startswith("POINTSMAN_CONFIG: /etc/pointsman.yaml is neither")


def test_file_of_another_kind_here_is_not_taken_for_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pointsman.yaml").write_text("port: 9000\n")
    assert fault("pointsman.yaml").startswith("POINTSMAN_CONFIG: pointsman.yaml is neither")


def test_function_by_a_name_of_celerys_is_kept_to_be_refused(tmp_path: Path) -> None:
    named = write(tmp_path, "routing.py", "def CELERY_TASK_ROUTES(name, *_): ...\ndef task_routes(): ...\n")
    assert list(values(named)) == ["task_routes"]
    assert callable(values(named)["task_routes"])


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    assert fault(str(tmp_path / "a.toml")).endswith("is not UTF-8 text")


def test_variable_that_names_the_file_of_a_secret_is_known_and_one_of_another_setting_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POINTSMAN_SMTP_PASSWORD_FILE", "/run/secrets/x")
    monkeypatch.setenv("POINTSMAN_PORT_FILE", "/run/secrets/x")
    assert unknown_variables() == ["POINTSMAN_PORT_FILE: there is no such setting; did you mean POINTSMAN_PORT?"]


def test_variable_with_our_prefix_that_is_no_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_PROT", "1")
    monkeypatch.setenv("POINTSMAN_CONFIG", "x")
    assert unknown_variables() == ["POINTSMAN_PROT: there is no such setting; did you mean POINTSMAN_PORT?"]


def test_variables_that_kubernetes_sets_for_our_services_are_not_meant_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in ("POINTSMAN", "POINTSMAN_API"):
        for name in ("_SERVICE_HOST", "_SERVICE_PORT", "_SERVICE_PORT_HTTP", "_PORT", "_PORT_8000_TCP"):
            monkeypatch.setenv(service + name, "tcp://10.0.0.1:8000")
        monkeypatch.setenv(f"{service}_PORT_8000_TCP_ADDR", "10.0.0.1")
    assert unknown_variables() == []
    monkeypatch.setenv("POINTSMAN_API_PROT", "1")
    assert len(unknown_variables()) == 1
