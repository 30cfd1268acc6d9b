"""Every command that the image and docker-compose.yml name is one that its program accepts."""

import importlib.util
import socket
from typing import Any

import pytest
import typer
from celery.app.utils import find_app
from celery.bin.base import CLIContext
from celery.bin.celery import celery as celery_command

from pointsman import celery
from pointsman_contract.queues import DEFAULT_TOPOLOGY
from pointsman_service.__main__ import cli
from tests.unit.deploy import compose
from tests.unit.deploy.dockerfile import stages

SERVICE = {
    name: of["command"]
    for name, of in compose.ours().items()
    if of["command"][:3] == ["python", "-m", "pointsman_service"]
}


def test_every_command_is_one_of_two_programs() -> None:
    assert {*SERVICE, *compose.workers()} == set(compose.ours())


@pytest.mark.parametrize("name", SERVICE)
def test_service_accepts_its_command(name: str) -> None:
    _accept_service(SERVICE[name][3:])


def test_service_accepts_the_command_of_the_image() -> None:
    words = stages()[-1].only("CMD").words()
    assert words[:3] == ["python", "-m", "pointsman_service"]
    _accept_service(words[3:])


def test_service_refuses_a_command_it_does_not_have() -> None:
    with pytest.raises(Exception, match="No such command"):
        _accept_service(["dispatch"])


@pytest.mark.parametrize("name", compose.workers())
def test_celery_accepts_the_command_of_a_worker(name: str) -> None:
    found = _accept_worker(compose.workers()[name]["command"])
    pool, _, host = found.params["hostname"].partition("@")
    assert pool in {pool.name for pool in DEFAULT_TOPOLOGY.pools}
    assert host == socket.gethostname(), "each container has a node name of its own"
    assert set(found.params["queues"]) <= {queue.name for queue in celery.amqp.queues.values()}


def test_celery_refuses_an_option_it_does_not_have() -> None:
    with pytest.raises(Exception, match="No such option"):
        _accept_worker(["celery", "-A", "pointsman", "worker", "--prefetch", "1"])


def test_judge_of_the_pulse_is_a_program() -> None:
    words = stages()[-1].only("HEALTHCHECK").text
    assert "pointsman_contract.pulse" in words
    assert importlib.util.find_spec("pointsman_contract.pulse")


def _accept_service(words: list[str]) -> None:
    program: Any = typer.main.get_command(cli)
    outer = program.make_context("service", list(words))
    name, command, rest = program.resolve_command(outer, list(words))
    command.make_context(name, rest, parent=outer)


def _accept_worker(words: list[str]) -> Any:
    program: Any = celery_command
    at = words.index("worker")
    outer = program.make_context("celery", words[1:])
    assert find_app(outer.params["app"]) is celery
    outer.obj = CLIContext(app=celery, no_color=True, workdir=None)
    return program.get_command(outer, "worker").make_context("worker", words[at + 1 :], parent=outer)
