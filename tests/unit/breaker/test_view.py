import asyncio

import pytest
from pydantic import SecretStr

from pointsman_service.breaker.view import BreakerView
from pointsman_service.database import create_engine
from pointsman_service.errors import DatabaseAway
from pointsman_service.settings import Settings
from pointsman_service.store.store import Store


class Slow(BreakerView):
    """Reads when it is let, and counts."""

    def __init__(self) -> None:
        settings = Settings(database_url=SecretStr("postgresql+asyncpg://app@/postgres?host=/nowhere"))
        super().__init__(Store(create_engine(settings, "test")), settings)
        self.may_read = asyncio.Event()
        self.is_away = False
        self.begun = 0

    async def single_pass(self) -> bool:
        self.begun += 1
        await self.may_read.wait()
        if self.is_away:
            raise DatabaseAway
        self._read_at = asyncio.get_running_loop().time()
        return False


async def all_ask(view: Slow) -> list[BaseException | None]:
    """What a hundred hear who ask at once, while it is read."""
    asking = [asyncio.create_task(view.freshen()) for _ in range(100)]
    while not view.begun:
        await asyncio.wait(asking, timeout=0, return_when=asyncio.FIRST_COMPLETED)
    view.may_read.set()
    return await asyncio.gather(*asking, return_exceptions=True)


async def test_one_reading_answers_all_who_ask_meanwhile() -> None:
    view = Slow()
    assert await all_ask(view) == [None] * 100
    assert view.begun == 1


async def test_a_database_that_is_away_is_waited_for_once_by_all_who_ask() -> None:
    view = Slow()
    view.is_away = True
    assert all(isinstance(heard, DatabaseAway) for heard in await all_ask(view))
    assert view.begun == 1
    view.is_away = False
    await view.freshen()
    assert view.begun == 2


async def test_who_gives_up_takes_no_reading_from_the_others() -> None:
    view = Slow()
    first, second = asyncio.create_task(view.freshen()), asyncio.create_task(view.freshen())
    while not view.begun:
        await asyncio.wait([first, second], timeout=0)
    first.cancel()
    view.may_read.set()
    await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert view.begun == 1
