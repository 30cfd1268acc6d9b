"""``run.json``: where a running ``./scripts/up`` says which servers it started.

Service and workers read it when ``POINTSMAN_DATABASE_URL`` and ``POINTSMAN_REDIS_URL`` are unset, so that
``celery -A pointsman inspect active`` works from another shell.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pointsman_contract.processes import is_alive

DEFAULT_DATA_DIR = Path(".pointsman")


class RunFile(BaseModel):
    """What a running supervisor publishes. URLs may hold passwords: the file is readable by its owner only."""

    model_config = ConfigDict(frozen=True)

    supervisor_pid: int
    database_url: str
    redis_url: str
    api_url: str

    def write(self, data_dir: Path) -> None:
        """Replace ``run.json`` atomically, mode 0600."""
        temporary = data_dir / "run.json.new"
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(self.model_dump_json(indent=2))
        temporary.replace(data_dir / "run.json")

    @classmethod
    def read(cls, data_dir: Path | None = None) -> "RunFile | None":
        """The file of a supervisor that still lives, else None.

        ``data_dir`` defaults to ``POINTSMAN_DATA_DIR``, then to ``.pointsman``.
        """
        directory = data_dir or Path(os.environ.get("POINTSMAN_DATA_DIR") or DEFAULT_DATA_DIR)
        try:
            found = cls.model_validate_json((directory / "run.json").read_bytes())
        except (OSError, ValidationError):
            return None
        return found if is_alive(found.supervisor_pid) else None
