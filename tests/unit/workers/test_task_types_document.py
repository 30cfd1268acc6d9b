"""``docs/task-types.md`` says what is so."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from pointsman import celery
from pointsman.settings import Settings
from pointsman.task_settings import TaskSettings
from pointsman.task_type.arguments import Arguments

TEXT = (Path(__file__).parents[3] / "docs" / "task-types.md").read_text(encoding="utf-8")
SHIPPED = {
    "auto_close_jobs", "cleanup_cache", "create_scheduled_reports", "fetch_weather_data", "generate_annual_report",
    "http_request", "process_mqtt_message", "send_reminder_email",
}  # fmt: skip
DIAGNOSTICS = {"echo", "fail", "noop", "sleep"}
"""What the pages try things with; they need no section."""
SECTIONS = {part.partition("\n")[0]: part for part in TEXT.split("\n## ")[1:]}


def arguments(name: str) -> Arguments:
    celery.loader.import_default_modules()
    return Arguments.of(celery.tasks[name])


def test_every_shipped_type_has_a_section() -> None:
    celery.loader.import_default_modules()
    offered = {name for name, task in celery.tasks.items() if task.__module__.startswith("pointsman.shipped.tasks.")}
    assert set(SECTIONS) == SHIPPED == offered - DIAGNOSTICS


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_section_names_every_argument_and_its_queue(name: str) -> None:
    missing = [argument for argument in arguments(name).schema["properties"] if f"| `{argument}`" not in SECTIONS[name]]
    assert missing == []
    task: Any = celery.tasks[name]
    assert f"[`{name}`](#{name}) | `{task.queue}` |" in TEXT


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_example_would_be_accepted(name: str) -> None:
    bodies = [json.loads(body) for body in re.findall(r"-d '(\{.*?\})'\n", SECTIONS[name], re.DOTALL)]
    (body,) = [body for body in bodies if body["task_type"] == name]
    assert list(jsonschema_rs.validator_for(arguments(name).schema).iter_errors(body["kwargs"])) == []


def test_every_setting_is_named_and_every_name_is_a_setting() -> None:
    named = {name.lower() for name in re.findall(r"POINTSMAN_([A-Z_]+)", TEXT)}
    assert set(TaskSettings.model_fields) - named == set()
    assert named - set(Settings.model_fields) == set()
