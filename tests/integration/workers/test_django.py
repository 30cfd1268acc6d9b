"""A Django project on a real node, with the Django that ``scripts/strangers`` brings."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.workers.conftest import Worker
from tests.integration.workers.support import ControlPlane
from tests.needs import stranger
from tests.stand.environment import inherited

_PROJECT = {
    "__init__": "from shop.celery import app as celery_app\n",
    "settings": """
from pathlib import Path

SECRET_KEY = "of a test"
INSTALLED_APPS = ["shop"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": Path(__file__).with_name("db.sqlite3")}}
CELERY_BROKER_URL = "redis://127.0.0.1:1/1"
CELERY_TASK_TIME_LIMIT = 120
""",
    "celery": """
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
if os.environ.get("SHOP_ON_POINTSMAN"):
    from pointsman import celery as app
else:
    from celery import Celery

    app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
""",
    "models": """
from django.db import models


class Order(models.Model):
    number = models.IntegerField()
""",
    "tasks": """
from celery import shared_task

from shop.models import Order


@shared_task
def orders() -> list[int]:
    return list(Order.objects.values_list("number", flat=True))
""",
}
_ORDER = """
import django

from shop.celery import app

django.setup()
from django.db import connection, transaction
from shop.models import Order
from shop.tasks import orders

with connection.schema_editor() as editor:
    editor.create_model(Order)
orders.delay = lambda: print("sent with", Order.objects.count())
with transaction.atomic():
    orders.delay_on_commit()
    Order.objects.create(number=7)
    print("not yet")
try:
    with transaction.atomic():
        orders.delay_on_commit()
        raise RuntimeError
except RuntimeError:
    print("never")
"""


@pytest.fixture
def project(tmp_path: Path) -> dict[str, str]:
    """The variables of a process of the project. Of the strangers' packages it sees Django's alone."""
    packages = next(stranger("venv/bin/python").parents[1].glob("lib/python*/site-packages"))
    for name in ("django", "asgiref", "sqlparse"):
        (tmp_path / name).symlink_to(packages / name)
    (tmp_path / "shop").mkdir()
    for name, text in _PROJECT.items():
        (tmp_path / "shop" / f"{name}.py").write_text(text)
    return {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "SHOP_ON_POINTSMAN": "1",
    }


@pytest.mark.parametrize("modules", ["shop.tasks", "shop.celery"])
def test_node_that_nobody_told_of_django_runs_tasks_with_models(
    own_plane: ControlPlane, start_worker: Callable[..., Worker], project: dict[str, str], modules: str, tmp_path: Path
) -> None:
    ordered = subprocess.run(
        [sys.executable, "-c", _ORDER],
        env=inherited() | project | {"POINTSMAN_REDIS_URL": own_plane.url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # The task is sent by the commit, and by none that was rolled back.
    assert ordered.stdout.splitlines() == ["not yet", "sent with 1", "never"], ordered.stderr
    own_plane.declare(1)
    worker = start_worker("-c", "1", POINTSMAN_TASK_MODULES=modules, **project)
    asked = own_plane.publish("shop.tasks.orders")
    assert own_plane.wait_for(asked, "succeeded").body["result"] == "[7]"
    specs = own_plane.wait_for(None, "catalogue").body["specs"]
    (spec,) = [spec for spec in specs if spec["name"] == "shop.tasks.orders"]
    assert spec["time_limit_seconds"] == 120
    assert worker.stop() == 0
    assert "Traceback" not in worker.text()
