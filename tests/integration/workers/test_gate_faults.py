"""The gate tells a Redis that is away from one that answers with a fault of its script."""

import logging

import pytest

from pointsman.connection import RedisConnection
from pointsman.run.gate import Gate, Patience
from pointsman.settings import Settings
from pointsman_contract.keys import events
from pointsman_contract.message import VERSION, ManagedHeader
from tests.integration.workers.conftest import Valkey
from tests.integration.workers.support import ControlPlane

TASK = "018f2f0e-0000-7000-8000-000000000001"
HEADER: ManagedHeader = {
    "version": VERSION,
    "epoch": 1,
    "dispatch": 1,
    "after": 0,
    "expires_at": None,
    "traceparent": None,
    "sequence": 1,
    "sent_at": 1e9,
}


class Running:
    stopping = False


def reason(valkey: Valkey) -> str:
    """Why a task that asks goes back."""
    settings = Settings(redis_url=valkey.url, redis_read_seconds=0.2, redis_connect_seconds=0.2)
    redis = RedisConnection(settings)
    gate = Gate(redis, settings, "w#1")
    with pytest.raises(Exception, match="waited at the gate") as found:
        gate.pass_(HEADER, TASK, "token", "{}", Patience(0, Running()), "email")
    redis.close()
    return str(found.value)


def test_key_that_the_gate_cannot_read_is_not_taken_for_a_redis_that_is_away(
    valkey: Valkey, own_plane: ControlPlane, caplog: pytest.LogCaptureFixture
) -> None:
    own_plane.declare(1)
    own_plane.redis.set(events(1), "no stream")
    with caplog.at_level(logging.ERROR):
        assert "the gate fails" in reason(valkey)
    assert f"the gate fails at task {TASK}" in caplog.text


def test_redis_that_is_away_is_told_as_that(valkey: Valkey, own_plane: ControlPlane) -> None:
    own_plane.declare(1)
    valkey.kill()
    assert "Redis does not answer" in reason(valkey)
