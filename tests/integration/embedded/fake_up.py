"""``python -m pointsman_service.embedded`` with small stand-ins for migrations, service and workers.

Run as a script with the same options. ``FAKE_MIGRATE``, ``FAKE_SERVICE`` and ``FAKE_WORKER`` replace the program of a
child; ``FAKE_CELERY=1`` adds a real Celery node.
"""

import os
import signal
import sys
from pathlib import Path

from pointsman_contract.settings_view import read_settings
from pointsman_service.embedded.children import ChildSpec, StopStep
from pointsman_service.embedded.errors import EmbeddedError
from pointsman_service.embedded.logs import Console
from pointsman_service.embedded.options import Options, Pools, parse_options, with_secrets
from pointsman_service.embedded.plan import Plan
from pointsman_service.embedded.up import up
from pointsman_service.settings import Settings

MIGRATE = """
from pointsman_service.settings import Settings

settings = Settings()
print("migrating", settings.require_database_url(), settings.require_redis_url())
"""

SERVICE = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

WORKER = """
import signal, sys

def leave(number, frame):
    print("finished warmly", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, leave)
print("working", flush=True)
while True:
    signal.pause()
"""


def fake_plan(options: Options) -> Plan:
    """One child of each kind, and two workers unless there are to be none."""
    workers = [] if options.pools is Pools.NONE else [_program("w.one", "FAKE_WORKER", WORKER)]
    if os.environ.get("FAKE_CELERY"):
        workers.append(_celery())
    return Plan(
        migrate=_program("migrate", "FAKE_MIGRATE", MIGRATE),
        service=_program("service", "FAKE_SERVICE", SERVICE, str(options.port)),
        workers=tuple(workers),
    )


def _program(name: str, variable: str, default: str, *arguments: str) -> ChildSpec:
    command = (sys.executable, "-c", os.environ.get(variable) or default, *arguments)
    return ChildSpec(name, command, stop_steps=(StopStep(signal.SIGTERM, 20),))


def _celery() -> ChildSpec:
    command = (sys.executable, "-m", "celery", "-A", "tiny_celery", "worker", "-P", "prefork", "-c", "2")
    return ChildSpec("w.celery", command, directory=Path(__file__).parent)


if __name__ == "__main__":
    try:
        options = with_secrets(parse_options(sys.argv[1:], os.environ), read_settings(Settings))
        up(options, Console(sys.stdout), fake_plan)
    except EmbeddedError as error:
        sys.exit(f"up: error: {error}")
