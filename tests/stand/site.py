"""Where an installation runs and how its processes are started, for the tests, the torture and the benchmarks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pointsman_service.embedded.ports import HOST
from tests.stand.checkout import code_of
from tests.stand.environment import ROOT, inherited
from tests.stand.processes import Child

Kind = TypeVar("Kind", bound=Child)


class Site:
    """Two servers, a data directory, a directory of logs, and the checkout whose code its processes have.

    ``environment`` is that of every process that is started from now on; ``variables`` are in it.
    """

    def __init__(
        self,
        database_url: str,
        redis_url: str,
        data_dir: Path,
        logs: Path,
        *,
        checkout: Path = ROOT,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.logs = logs
        self._checkout = checkout
        self._code = code_of(checkout)
        self.environment = inherited() | {
            "POINTSMAN_DATABASE_URL": database_url,
            "POINTSMAN_REDIS_URL": redis_url,
            "POINTSMAN_DATA_DIR": str(data_dir),
            "PYTHONPATH": self._code.python_path(),
            **(variables or {}),
        }

    def service(self, *words: str, port: int | None = None) -> tuple[str, ...]:
        """The words of a service process, or of a command of the service; one with an API listens on ``port``."""
        listens = () if port is None else ("--host", HOST, "--port", str(port))
        return ("-m", self._code.service, *words, *listens)

    def worker(self, *options: str, application: str | None = None, quiet: bool = False) -> tuple[str, ...]:
        """The words of a worker node of Pointsman, or of another application."""
        silence = ("-q",) if quiet else ()
        always = ("--without-gossip", "--without-mingle", "-l", "WARNING")
        return ("-m", "celery", "-A", application or self._code.workers, *silence, "worker", *always, *options)

    def child(
        self, name: str, words: Sequence[str], kind: type[Kind], environment: Mapping[str, str] | None = None
    ) -> Kind:
        """A process of this installation, with these variables too. Its output goes into a file of its name."""
        given = self.environment if environment is None else {**self.environment, **environment}
        return kind(name, words, given, self.logs / f"{name}.log", self._checkout)
