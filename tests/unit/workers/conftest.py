from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from pointsman import celery
from pointsman.settings import settings


@pytest.fixture(autouse=True)
def _broker_that_is_never_called(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("POINTSMAN_REDIS_URL", "redis://127.0.0.1:1/0")
    settings.cache_clear()
    yield
    settings.cache_clear()


MakeTask = Callable[..., Any]


def _nothing(self: Any) -> None:
    """The body of a task whose options matter."""


@pytest.fixture
def make() -> Iterator[MakeTask]:
    """Makes bound tasks of a body and options, registered for one test."""
    names: list[str] = []
    decorate: Any = celery.task

    def make(body: Any = _nothing, **options: Any) -> Any:
        names.append(options.pop("name", f"unit.{uuid4().hex}"))
        decorate(name=names[-1], bind=True, **options)(body)
        return celery.tasks[names[-1]]

    yield make
    for name in names:
        if name in celery.tasks:
            celery.tasks.unregister(name)
