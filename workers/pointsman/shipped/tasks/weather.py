"""The weather: how a task of one's own calls somebody else's API."""

from typing import Annotated, Any, TypedDict

from pydantic import AwareDatetime, BaseModel, Field, ValidationError, field_validator

from pointsman.app import app
from pointsman.bases import ExternalAPITask
from pointsman.settings import settings
from pointsman_contract.dependencies import dependency_of_url
from pointsman_contract.validation import first_fault

_WANTED = "temperature_2m,relative_humidity_2m,wind_speed_10m,weather_code"
_CONDITIONS = (
    (0, "clear"),
    (3, "cloudy"),
    (48, "fog"),
    (57, "drizzle"),
    (67, "rain"),
    (77, "snow"),
    (82, "rain showers"),
    (86, "snow showers"),
    (99, "thunderstorm"),
)
"""The last code of each group of WMO 4677, as Open-Meteo gives them."""


class AnswerNotUnderstood(Exception):
    """The service answered something that is no forecast."""


class Weather(TypedDict):
    """What ``fetch_weather_data`` returns."""

    latitude: float
    longitude: float
    """Of the service's grid: near what was asked for."""
    observed_at: str
    temperature_celsius: float
    relative_humidity_percent: float
    wind_speed_metres_per_second: float
    condition: str


class _Current(BaseModel):
    time: AwareDatetime
    temperature_2m: float = Field(ge=-100, le=70)
    relative_humidity_2m: float = Field(ge=0, le=100)
    wind_speed_10m: float = Field(ge=0, le=200)
    weather_code: int = Field(ge=0, le=99)

    @field_validator("time", mode="before")
    @classmethod
    def _in_utc(cls, time: object) -> object:
        # The service is asked for UTC and writes no offset.
        return f"{time}+00:00" if isinstance(time, str) and len(time) == len("2026-11-22T12:00") else time


class _Forecast(BaseModel):
    latitude: float
    longitude: float
    current: _Current


def _host() -> str | None:
    return dependency_of_url(settings().weather_url)


@app.task(name="fetch_weather_data", base=ExternalAPITask, bind=True, dependencies=(_host,))
def fetch_weather_data(
    self: Any,
    latitude: Annotated[float, Field(ge=-90, le=90)],
    longitude: Annotated[float, Field(ge=-180, le=180)],
) -> Weather:
    """Fetches the weather at a place, now, from a service that speaks like Open-Meteo.

    Retried and permanent as with ``http_request``; an answer that is no forecast is retried.
    """
    answer = self.http.call(
        "GET",
        settings().weather_url,
        params={
            "latitude": latitude,
            "longitude": longitude,
            "current": _WANTED,
            "wind_speed_unit": "ms",
            "timezone": "UTC",
        },
    )
    try:
        forecast = _Forecast.model_validate_json(answer.content)
    except ValidationError as error:
        raise AnswerNotUnderstood(first_fault(error, "the answer")) from None
    now = forecast.current
    return {
        "latitude": forecast.latitude,
        "longitude": forecast.longitude,
        "observed_at": now.time.isoformat().replace("+00:00", "Z"),
        "temperature_celsius": now.temperature_2m,
        "relative_humidity_percent": now.relative_humidity_2m,
        "wind_speed_metres_per_second": now.wind_speed_10m,
        "condition": next(words for last, words in _CONDITIONS if now.weather_code <= last),
    }
