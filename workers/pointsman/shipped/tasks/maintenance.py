"""Cleaning up behind everybody."""

import time
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field

from pointsman.app import app
from pointsman.bases import MaintenanceTask
from pointsman.settings import settings
from pointsman.shipped.cache_files import clean, make_cache


@app.task(name="cleanup_cache", base=MaintenanceTask)
def cleanup_cache(
    older_than_seconds: Annotated[float, Field(ge=0, le=10 * 366 * 86_400)] = 7 * 86_400,
    limit: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Deletes files of the cache directory that have not changed for so long, and directories left empty.

    The directory must be tagged as a cache (``CACHEDIR.TAG``); the default one is. With ``dry_run`` it only counts.
    Nothing is permanent but a directory that is no cache.
    """
    root = settings().find_cache_dir()
    make_cache(root)
    done = clean(root, unchanged_since=time.time() - older_than_seconds, limit=limit, dry_run=dry_run)
    return {"directory": str(root), "dry_run": dry_run, **asdict(done)}
