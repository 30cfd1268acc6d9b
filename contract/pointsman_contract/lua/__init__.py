"""The atomic steps in Redis, as Lua sources. Each file's head says its keys, arguments and answers."""

from functools import cache
from importlib.resources import files


@cache
def source(name: str) -> str:
    """The Lua text of one script: e.g. ``gate``."""
    return files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
