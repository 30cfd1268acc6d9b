"""A Celery project whose calls become durable by one line, and whose own tests do not notice."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pointsman_service.embedded.valkey import ValkeyServer
from tests.stand.environment import inherited
from tests.stand.processes import Child
from tests.stand.stack import Stack, as_json
from tests.stand.waiting import until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(400)]

LINE = "from celery import Celery"
DURABLE_LINE = "from pointsman_client.celery import Celery"
PROJECT = {
    "__init__": "",
    "celery": f"""
{LINE}

app = Celery("shop", include=["shop.tasks"])
app.config_from_object("shop.celeryconfig")
""",
    "celeryconfig": """
import os

broker_url = result_backend = os.environ.get("SHOP_REDIS", "redis://127.0.0.1:1/0")
task_always_eager = bool(os.environ.get("SHOP_EAGER"))
pointsman_durable = ["shop.tasks.*"] if not os.environ.get("SHOP_BACK") else False
""",
    "tasks": """
import time
from pathlib import Path

from celery import shared_task

from shop.celery import app


HERE = Path(__file__).parents[1]


class Declined(Exception):
    pass


class ShopTask(app.Task):
    abstract = True

    def on_success(self, retval, task_id, args, kwargs):
        (HERE / "succeeded").open("a").write(f"{retval}\\n")


@app.task(base=ShopTask)
def price(article, quantity=1):
    return len(article) * quantity


@app.task(bind=True, max_retries=3, default_retry_delay=0)
def send_invoice(self, order):
    if self.request.retries == 0:
        raise self.retry(exc=ConnectionError("mail server"))
    return f"invoice {order} sent by attempt {self.request.retries + 1}"


@app.task(max_retries=0)
def charge(card):
    raise Declined(f"{card} was declined")


@app.task
def order(articles):
    return [price.delay(article).id for article in articles]


@app.task
def slow(number):
    (HERE / "begun").open("a").write(f"{number}\\n")
    while not (HERE / "go").exists():
        time.sleep(0.02)
    return number


@shared_task
def shared(when):
    return str(when)
""",
}
TESTS = """
import datetime

import pytest
from celery.exceptions import TimeoutError

from shop.tasks import Declined, charge, price, send_invoice, shared


def test_a_price():
    assert price("pen", 2) == 6
    result = price.delay("pen", quantity=2)
    assert result.get(timeout=60) == 6
    assert result.successful() and result.ready() and result.state == "SUCCESS"


def test_a_mail_server_that_fails_at_first():
    assert send_invoice.apply_async((7,), countdown=0.2).get(timeout=60) == "invoice 7 sent by attempt 2"


def test_a_card_that_is_declined():
    result = charge.delay("4711")
    with pytest.raises(Declined, match="4711 was declined"):
        result.get(timeout=60)
    assert result.failed() and isinstance(result.result, Declined)


def test_a_task_that_is_shared_and_a_moment():
    assert shared.delay(datetime.datetime(2026, 12, 1)).get(timeout=60).startswith("2026-12-01")


def test_a_call_with_wrong_arguments_is_refused_here():
    with pytest.raises(TypeError):
        price.delay()
"""
LATER = """

def test_something_for_later():
    later = price.apply_async(("pen",), countdown=3600, expires=7200)
    with pytest.raises(TimeoutError):
        later.get(timeout=0.5)
    assert later.state == "PENDING"
    later.revoke()
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The directory of the project."""
    home = tmp_path / "project"
    (home / "shop").mkdir(parents=True)
    for name, text in PROJECT.items():
        (home / "shop" / f"{name}.py").write_text(text)
    (home / "test_shop.py").write_text(TESTS + LATER)
    (home / "pytest.ini").write_text("[pytest]\n")
    return home


def made_durable(shop: Path) -> None:
    path = shop / "shop" / "celery.py"
    text = path.read_text()
    assert text.count(LINE) == 1
    path.write_text(text.replace(LINE, DURABLE_LINE))


@pytest.fixture
async def durable(shop: Path, database_url: str, own_valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Stack]:
    """Pointsman, with workers that load the project. It is durable."""
    made_durable(shop)
    stack = Stack(database_url, own_valkey, tmp_path, processes=2, modules=("shop.tasks",))
    stack.environment["PYTHONPATH"] += f":{shop}"
    async with stack:
        yield stack


def run(shop: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Python in the project, which knows of a Pointsman only what it is told."""
    own = {name: value for name, value in inherited().items() if not name.startswith("POINTSMAN")}
    return subprocess.run(
        [sys.executable, *words], cwd=shop, env=own | {"PYTHONPATH": str(shop)} | variables,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def green(shop: Path, **variables: str) -> str:
    ran = run(shop, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py", **variables)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


async def test_the_tests_of_a_project_stay_green_when_it_is_made_durable(shop: Path, durable: Stack) -> None:
    assert "6 passed" in green(shop, POINTSMAN_URL=durable.url)
    listed = (await durable.http.get("/v1/tasks?limit=100")).json()["items"]
    names = ("price", "send_invoice", "charge", "shared")
    assert {task["task_type"] for task in listed} == {f"shop.tasks.{name}" for name in names}
    assert {task["state"] for task in listed} == {"succeeded", "failed", "cancelled"}
    assert (shop / "succeeded").read_text() == "6\n"

    code = "from shop.tasks import *; print(order.delay(['pen', 'paper']).get(timeout=60).__len__())"
    nested = run(shop, "-c", code, POINTSMAN_URL=durable.url)
    assert nested.stdout == "2\n", nested.stderr
    prices = (await durable.http.get("/v1/tasks?task_type=shop.tasks.price")).json()["items"]
    assert len(prices) == 4, "what a task calls is durable, too"
    assert (await durable.counters())["native"] == 0


def test_the_same_tests_are_green_before_and_eagerly_after(shop: Path, own_valkey: ValkeyServer) -> None:
    broker = {"SHOP_REDIS": f"{own_valkey.start().url.rpartition('/')[0]}/5"}
    with plain_worker(shop, broker):
        assert "6 passed" in green(shop, **broker)
        made_durable(shop)
        assert "6 passed" in green(shop, **broker, SHOP_BACK="1", POINTSMAN_URL="http://127.0.0.1:9")
    (shop / "test_shop.py").write_text(TESTS)
    assert "5 passed" in green(shop, SHOP_EAGER="1", POINTSMAN_URL="http://127.0.0.1:9")


@contextmanager
def plain_worker(shop: Path, broker: Mapping[str, str]) -> Iterator[None]:
    own = inherited() | {"PYTHONPATH": str(shop), **broker}
    words = ("-m", "celery", "-A", "shop", "-q", "worker", "-c", "1", "--without-mingle", "-l", "WARNING")
    worker = Child("plain", words, own, shop / "worker.log", shop)
    worker.start()
    try:
        yield
    finally:
        worker.kill()


async def test_a_redis_that_is_killed_loses_nothing_that_was_called(
    shop: Path, durable: Stack, own_valkey: ValkeyServer
) -> None:
    code = """
import json
from shop.tasks import slow
print(json.dumps([slow.delay(number).id for number in range(40)]))
"""
    sent = run(shop, "-c", code, POINTSMAN_URL=durable.url)
    ids = as_json(sent.stdout)
    assert len(set(ids)) == 40

    async def begun() -> bool:
        return (shop / "begun").exists()

    await until(begun, "some to begin")
    own_valkey.kill()
    more = run(shop, "-c", code, POINTSMAN_URL=durable.url)
    ids += as_json(more.stdout)
    own_valkey.start()
    (shop / "go").touch()
    ended = [await durable.finished(task_id) for task_id in ids]
    assert [task["state"] for task in ended] == ["succeeded"] * 80
    assert sorted(task["result"] for task in ended) == sorted([*range(40), *range(40)])


def test_what_cannot_be_honoured_is_refused_by_name(shop: Path) -> None:
    made_durable(shop)
    code = """
from shop.tasks import price
from pointsman_client.celery import NotDurable
for options in ({"link_error": price.s("x")}, {"link": price.s("x")}, {"soft_time_limit": 3}):
    try:
        price.apply_async(("pen",), **options)
    except NotDurable as error:
        print(error)
"""
    ran = run(shop, "-c", code, POINTSMAN_URL="http://127.0.0.1:9")
    said = ran.stdout.splitlines()
    assert [line.split(" cannot")[0].rsplit(" ", 1)[1] for line in said] == ["link_error", "link", "soft_time_limit"], (
        ran
    )
