"""For tools that look at the broker by themselves, such as Flower: Celery's own priority steps are 0, 3, 6 and 9.

Without this they count four of the ten lists of a queue, and show 0 for one that holds messages. They are told of the
broker as everybody else, by ``POINTSMAN_REDIS_URL`` and, for its password, ``POINTSMAN_REDIS_PASSWORD_FILE``.
"""

import os
from pathlib import Path
from urllib.parse import quote


def _broker() -> str | None:
    url, file = os.environ.get("POINTSMAN_REDIS_URL"), os.environ.get("POINTSMAN_REDIS_PASSWORD_FILE")
    if not url or not file:
        return url
    scheme, _, place = url.partition("://")
    user, _, server = place.rpartition("@")
    password = quote(Path(file).read_text(encoding="utf-8").rstrip("\r\n"), safe="")
    return f"{scheme}://{user}:{password}@{server}"


broker_transport_options = {"priority_steps": list(range(10))}
if _broker():
    broker_url = _broker()
