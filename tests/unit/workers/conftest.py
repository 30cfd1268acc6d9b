from collections.abc import Iterator

import pytest

from workers.settings import settings


@pytest.fixture(autouse=True)
def _broker_that_is_never_called(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("POINTSMAN_REDIS_URL", "redis://127.0.0.1:1/0")
    settings.cache_clear()
    yield
    settings.cache_clear()
