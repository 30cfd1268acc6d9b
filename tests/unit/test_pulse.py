import asyncio
from pathlib import Path

import pytest

from pointsman_contract.pulse import PulseFile, ailment
from pointsman_service.loops import Loop
from pointsman_service.pulse import Pulse, pulse_file


async def _returns_at_once() -> bool:
    return False


async def _never_returns() -> bool:
    await asyncio.Event().wait()
    return False


async def _fails() -> bool:
    raise RuntimeError("away")


async def test_process_beats_while_its_loops_rest_or_fail(tmp_path: Path) -> None:
    loops = [Loop("rests", _returns_at_once, 60), Loop("fails", _fails, 60)]
    for loop in loops:
        await loop._one_pass()
    pulse = Pulse(PulseFile(tmp_path / "pulse"), loops, stuck_seconds=0)
    await pulse.loop._one_pass()
    assert ailment(tmp_path / "pulse") is None


async def test_process_with_a_pass_that_does_not_end_falls_silent(tmp_path: Path) -> None:
    stuck = Loop("hangs", _never_returns, 60)
    hanging = asyncio.create_task(stuck._one_pass())
    await asyncio.sleep(0)
    assert stuck.pass_seconds() > 0
    pulse = Pulse(PulseFile(tmp_path / "pulse"), [stuck], stuck_seconds=0)
    await pulse.loop._one_pass()
    assert ailment(tmp_path / "pulse") is not None

    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    await pulse.loop._one_pass()
    assert ailment(tmp_path / "pulse") is None


async def test_file_that_cannot_be_written_ends_no_process(tmp_path: Path) -> None:
    pulse = Pulse(PulseFile(tmp_path / "nowhere" / "pulse"), [])
    assert await pulse.loop._one_pass() > 0


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
    ],
)
async def test_api_is_asked_at_the_address_it_binds(tmp_path: Path, host: str, asked: str) -> None:
    pulse_file(tmp_path / "pulse", listens_at=(host, 1)).beat()
    assert f"http://{asked}:1/livez" in (ailment(tmp_path / "pulse") or "")
