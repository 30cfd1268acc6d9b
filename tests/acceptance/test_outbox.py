"""Business data and tasks that are committed together, against a whole installation."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from pointsman_client import AsyncClient, Client
from pointsman_client.outbox.relay import Pass, Relay
from pointsman_client.outbox.sqlalchemy import Outbox
from pointsman_service.embedded.ports import free_port
from pointsman_service.embedded.postgres import PostgresServer
from tests.stand.environment import inherited
from tests.stand.processes import Child
from tests.stand.resets import resetting
from tests.stand.stack import Stack
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

METADATA = MetaData()
ORDERS = Table("orders", METADATA, Column("id", Integer, primary_key=True))
OUTBOX = Outbox(METADATA)


@pytest.fixture
async def shop_url(postgres: PostgresServer) -> AsyncIterator[str]:
    """SQLAlchemy URL of the database of an application, as psycopg takes it."""
    url = postgres.start().create_database()
    engine = create_async_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    await engine.dispose()
    yield url.replace("+asyncpg", "+psycopg")
    postgres.drop_database(str(make_url(url).database))


async def test_an_asynchronous_session_commits_both_or_nothing(stack: Stack, shop_url: str) -> None:
    engine = create_async_engine(shop_url.replace("+psycopg", "+asyncpg"))
    async with AsyncSession(engine) as session:
        await session.execute(ORDERS.insert().values(id=1))
        await OUTBOX.submit(session, "ledger.add", 1, y=1)
        await session.rollback()
        await session.execute(ORDERS.insert().values(id=2))
        pending = await OUTBOX.submit(session, "ledger.add", 2, y=2)
        await session.commit()
    async with engine.begin() as connection:
        mine = await OUTBOX.with_options(idempotency_key="order 3").submit(connection, "ledger.add", 3, y=3)
    blocking = create_engine(shop_url)
    with Client(stack.url) as client_of_relay:
        relay = Relay(OUTBOX.rows(blocking), client_of_relay)
        assert await asyncio.to_thread(relay.single_pass) == Pass(sent=2)
    blocking.dispose()
    async with AsyncSession(engine) as session:
        assert list((await session.execute(select(ORDERS.c.id))).scalars()) == [2]
        found = await session.run_sync(OUTBOX.find, mine.key)
    await engine.dispose()
    async with AsyncClient(stack.url) as client:
        assert found is not None
        assert found.task_id is not None
        assert await client.tasks.handle(found.task_id).result(timeout=60) == 6
        (task,) = [task async for task in client.tasks.each(tag=[pending.tag])]
        assert await client.tasks.handle(task.id).result(timeout=60) == 4


async def test_relays_that_are_killed_and_an_api_that_is_away_neither_lose_nor_double(
    stack: Stack, shop_url: str, tmp_path: Path
) -> None:
    engine, port = create_engine(shop_url), free_port()
    secret = tmp_path / "url"
    secret.write_text(engine.url.render_as_string(hide_password=False))
    words = [
        "-m", "pointsman_client", "relay", "--database-url-file", str(secret), "--url", f"http://127.0.0.1:{port}",
        "--batch", "5", "--interval-seconds", "0.05", "--call-seconds", "1.5", "--lease-seconds", "2",
    ]  # fmt: skip
    relays = [Child(f"relay{n}", words, inherited(), tmp_path / f"relay{n}.log") for n in range(2)]
    tasks = OUTBOX.with_options(tags={"of": "killed"}, delay_seconds=86_400)

    def sent() -> int:
        with engine.connect() as connection:
            done = select(func.count()).where(OUTBOX.table.c.state == "sent")
            return int(connection.execute(done).scalar_one())

    async def all_are_away() -> bool:
        return all("is not relayed now" in relay.last_lines() for relay in relays)

    try:
        for relay in relays:
            relay.start()
        for number in range(240):
            with engine.connect() as connection:
                connection.execute(ORDERS.insert().values(id=number))
                tasks.submit(connection, "ledger.write", number)
                if number % 3:
                    connection.commit()
        await until(all_are_away, "both relays to say so")
        with resetting(stack.port, share=0.2, seed=3, at=port):
            for round_ in range(1, 9):

                async def some_more(most: int = round_ * 20) -> bool:
                    assert all(relay.is_running for relay in relays)
                    return sent() >= most

                await until(some_more, "more to be sent")
                victim, other = relays[round_ % 2], relays[round_ % 2 - 1]
                victim.kill()
                if round_ < 8:
                    before = len((tmp_path / f"{victim.name}.log").read_text())
                    victim.start()

            async def has_begun() -> bool:
                return "the outbox is relayed to" in (tmp_path / f"{other.name}.log").read_text()[before:]

            await until(has_begun, "the last one that was killed to hear signals")
            assert await other.stop() == 0
    finally:
        for relay in relays:
            relay.kill()
    with engine.connect() as connection:
        orders = set(connection.execute(select(ORDERS.c.id)).scalars())
    engine.dispose()
    assert len(orders) == 160
    async with AsyncClient(stack.url) as client:
        stored = [task.args async for task in client.tasks.each(tag=["of:killed"], limit=100)]
    assert sorted(args[0] for args in stored) == sorted(orders)


SETTINGS = """
import os
SECRET_KEY = "of a test"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["pointsman_client.outbox.django", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["SHOP_DATABASE"],
                         "USER": os.environ["SHOP_USER"], "HOST": os.environ["SHOP_HOST"]}}
"""
MODELS = """
from django.db import models


class Order(models.Model):
    article = models.CharField(max_length=20)
"""
BUY = """
import json

import django

django.setup()

from celery import Celery
from django.db import transaction
from pointsman_client.outbox.django import outbox
from shop.models import Order

app = Celery("shop", task_cls="pointsman_client.celery:DurableTask")


@app.task(name="ledger.add")
def add(x, y):
    raise AssertionError("it runs on a worker")


def buy(article, number):
    with transaction.atomic():
        Order.objects.create(article=article)
        add.delay_on_commit(number, y=1000)
        add.apply_async_on_commit((number,), {"y": 1000}, task_id=f"on commit {number}")
        pending = outbox.with_options(tags={"of": "django"}).submit("ledger.add", number, y=number)
        if article == "nothing":
            raise LookupError
        return pending


bought = buy("pen", 1)
try:
    buy("nothing", 2)
except LookupError:
    pass
try:
    outbox.submit("ledger.add", 3, y=3)
except transaction.TransactionManagementError as error:
    refused = str(error)
calls = [add.apply_async((1,), {"y": 1000}, task_id="on commit 1").get(timeout=60), add.delay(1, 1).get(timeout=60)]
print(json.dumps([calls, bought.key, refused, Order.objects.count()]))
"""


async def test_a_project_of_django_commits_both_or_nothing_and_calls_its_tasks_when_it_has_committed(
    stack: Stack, postgres: PostgresServer, tmp_path: Path
) -> None:
    database = make_url(postgres.start().create_database())
    (tmp_path / "shop").mkdir()
    for name, text in {"settings": SETTINGS, "shop/__init__": "", "shop/models": MODELS, "buy": BUY}.items():
        (tmp_path / f"{name}.py").write_text(text)
    own = {
        "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(tmp_path), "POINTSMAN_URL": stack.url,
        "SHOP_DATABASE": str(database.database), "SHOP_USER": str(database.username),
        "SHOP_HOST": str(database.query["host"]),
    }  # fmt: skip

    def run(*words: str) -> str:
        ran = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=inherited() | own, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def all_of_it() -> list[str]:
        run("-m", "django", "migrate", "--run-syncdb")
        return [run("buy.py"), *(run("-m", "django", "pointsman_relay", act) for act in ("once", "refused"))]

    bought, relayed, refused = await asyncio.to_thread(all_of_it)
    calls, key, complaint, orders = json.loads(bought)
    assert calls == [1001, 2]
    assert orders == 1
    assert "atomic()" in complaint
    assert (relayed, refused) == ("1 sent, 0 refused, 0 put off\n", "")
    postgres.drop_database(str(database.database))
    async with AsyncClient(stack.url) as client:
        (task,) = [task async for task in client.tasks.each(tag=["of:django"])]
        assert task.tags == {"of": "django", "outbox_key": key}
        assert await client.tasks.handle(task.id).result(timeout=60) == 2
        on_commit = [task.kwargs async for task in client.tasks.each(task_type="ledger.add", limit=100)]
    assert on_commit.count({"y": 1000}) == 2
