from typing import Any

import httpx
import pytest

from pointsman.outbound.answers import HTTPStatusError, HTTPStatusPermanent
from pointsman.outbound.connection import TargetRefused
from pointsman.shipped.tasks.weather import AnswerNotUnderstood, fetch_weather_data
from tests.integration.tasks.conftest import Configure, assert_refused, run
from tests.peers.http import HTTPPeer, Reply

CURRENT = {
    "time": "2026-11-22T12:00", "interval": 900, "temperature_2m": -3.5, "relative_humidity_2m": 81,
    "wind_speed_10m": 4.2, "weather_code": 73,
}  # fmt: skip
FORECAST = {"latitude": 59.91, "longitude": 10.75, "elevation": 12.0, "current": CURRENT}


@pytest.fixture
def peer(http_peer: HTTPPeer, configure: Configure) -> HTTPPeer:
    """A weather service on this machine."""
    configure(allow_private_targets="true", weather_url=f"{http_peer.url}/v1/forecast")
    return http_peer


def fetch(latitude: float = 59.9133, longitude: float = 10.739) -> Any:
    return run(fetch_weather_data, latitude=latitude, longitude=longitude)


def test_weather_is_returned_in_units_that_are_named(peer: HTTPPeer) -> None:
    peer.on("/v1/forecast", Reply.of(FORECAST))
    assert fetch() == {
        "latitude": 59.91,
        "longitude": 10.75,
        "observed_at": "2026-11-22T12:00:00Z",
        "temperature_celsius": -3.5,
        "relative_humidity_percent": 81,
        "wind_speed_metres_per_second": 4.2,
        "condition": "snow",
    }
    asked = peer.requests[0].query
    assert (asked["latitude"], asked["longitude"], asked["timezone"]) == (["59.9133"], ["10.739"], ["UTC"])
    assert asked["wind_speed_unit"] == ["ms"]


@pytest.mark.parametrize(
    ("code", "condition"),
    [(0, "clear"), (1, "cloudy"), (45, "fog"), (61, "rain"), (82, "rain showers"), (95, "thunderstorm")],
)
def test_code_is_said_in_words(peer: HTTPPeer, code: int, condition: str) -> None:
    peer.on("/v1/forecast", Reply.of(FORECAST | {"current": CURRENT | {"weather_code": code}}))
    assert fetch()["condition"] == condition


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (Reply(200, b"<html>"), "Invalid JSON"),
        (Reply.of({"latitude": 1, "longitude": 2}), "current"),
        (Reply.of(FORECAST | {"current": CURRENT | {"temperature_2m": 300}}), r"current\.temperature_2m"),
        (Reply.of(FORECAST | {"current": CURRENT | {"weather_code": 1000}}), r"current\.weather_code"),
        (Reply.of(FORECAST | {"current": CURRENT | {"time": "noon"}}), r"current\.time"),
    ],
)
def test_answer_that_is_no_forecast_fails_for_now(peer: HTTPPeer, answer: Reply, complaint: str) -> None:
    peer.on("/v1/forecast", answer)
    with pytest.raises(AnswerNotUnderstood, match=complaint):
        fetch()


def test_refused_place_fails_for_good_and_trouble_for_now(peer: HTTPPeer) -> None:
    peer.on("/v1/forecast", Reply.of({"error": True, "reason": "no such place"}, 400), Reply(502))
    with pytest.raises(HTTPStatusPermanent, match="no such place"):
        fetch()
    with pytest.raises(HTTPStatusError):
        fetch()


def test_service_on_a_private_address_is_refused(peer: HTTPPeer, configure: Configure) -> None:
    configure(allow_private_targets="false")
    with pytest.raises(TargetRefused):
        fetch()


def test_service_that_is_away_fails_for_now(configure: Configure) -> None:
    configure(allow_private_targets="true", weather_url="http://127.0.0.1:1/v1/forecast")
    with pytest.raises(httpx.ConnectError):
        fetch()


@pytest.mark.parametrize("bad", [{"latitude": 91}, {"longitude": -181}, {"latitude": "north"}, {"city": "Oslo"}])
def test_bad_argument_is_refused(bad: dict[str, Any]) -> None:
    assert_refused(fetch_weather_data, **({"latitude": 1, "longitude": 2.5} | bad))
