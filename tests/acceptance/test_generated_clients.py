"""Clients that other people's generators make of the API's document: made, type-checked, and used."""

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from pointsman_service.app.application import openapi_document
from tests.needs import stranger
from tests.stand.environment import ROOT
from tests.stand.stack import Stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

GIVEN = ROOT / "tests" / "strangers"


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(openapi_document()))
    return path


def run(directory: Path, *words: str | Path) -> str:
    """What a program says that ends well."""
    beside = f"{Path(words[0]).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [str(word) for word in words],
        cwd=directory,
        env=os.environ | {"PATH": beside},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


async def test_openapi_python_client_makes_a_client_that_fits(stack: Stack, document: Path, tmp_path: Path) -> None:
    generator = stranger("venv/bin/openapi-python-client")
    said = run(tmp_path, generator, "generate", "--path", document, "--output-path", "made", "--meta", "none")
    assert "WARNING" not in said.upper(), said
    use = tmp_path / "use.py"
    use.write_text((GIVEN / "use_openapi_python_client.txt").read_text())
    python = generator.with_name("python")
    # What it makes of any document, its client.py, is not ours to judge: a fix of ruff's breaks its types.
    strict = ("--strict", "--follow-imports=silent", "--no-incremental", "--config-file=")
    made = (use, "made/api", "made/models")
    run(tmp_path, sys.executable, "-m", "mypy", *strict, "--python-executable", python, *made)
    wanted = {"name": f"generated-{uuid4().hex}", "preset": "submitter"}
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as client:
        key = (await client.post("/v1/keys", json=wanted)).raise_for_status().json()["key"]
    assert run(tmp_path, python, use, stack.url, uuid4().hex, key).split() == ["succeeded"]


@pytest.mark.parametrize(
    ("generator", "use", "words"),
    [
        (
            "openapi-typescript",
            "use_openapi_typescript.ts",
            ("openapi.json", "--output", "made.ts", "--default-non-nullable", "false"),
        ),
        ("openapi-ts", "use_hey_api.ts", ("--input", "openapi.json", "--output", "made")),
    ],
)
async def test_a_generator_for_typescript_makes_a_client_that_fits(
    stack: Stack, document: Path, tmp_path: Path, generator: str, use: str, words: tuple[str, ...]
) -> None:
    program = stranger(f"node_modules/.bin/{generator}")
    (tmp_path / "node_modules").symlink_to(program.parents[1])
    for name in (use, "tsconfig.json"):
        (tmp_path / name).write_bytes((GIVEN / name).read_bytes())
    run(tmp_path, program, *words)
    run(tmp_path, program.with_name("tsc"), "--project", ".")
    built = Path("built") / use.replace(".ts", ".js")
    assert run(tmp_path, "/usr/bin/env", "node", built, stack.url, uuid4().hex).split() == ["succeeded"]
