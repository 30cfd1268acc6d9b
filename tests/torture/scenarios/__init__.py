"""The scenarios, a file for each part that is broken."""

from importlib import import_module

_FILES = ("service", "workers", "redis", "postgres", "messages", "clocks", "breakers", "gone", "inputs")


def load_all() -> None:
    """Import them, so that each is registered."""
    for name in _FILES:
        import_module(f"{__name__}.{name}")
