"""What there was before an act and after it, in words."""

from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from pointsman_service.dashboard.components.figures import NONE, label, some
from pointsman_service.operate.act import ActKind

_LEFT: Final[Mapping[str, str]] = {
    ActKind.REPLAY: "failed task",
    ActKind.CANCEL_MANY: "task",
    ActKind.RETRY_MANY: "task",
    ActKind.PURGE: "waiting task",
    ActKind.DISCARD: "message",
}
"""Acts that take from a number of things, and what these are."""
_THERE: Final[Mapping[str, str]] = {
    ActKind.SILENCE: "silence",
    ActKind.UNSILENCE: "silence",
    ActKind.ROTATE_KEY: "live key",
}
"""Acts after which there are others, or more of them."""


def counted(act: str, counts: Mapping[str, Any] | None) -> str:
    """``7 failed tasks → 0 left``, ``open → resolved``; empty where nothing is known."""
    if not counts:
        return ""
    if "before" not in counts:
        return _fields(counts)
    before, after = counts["before"], counts.get("after")
    if _is_number(before) and _is_number(after):
        return _numbers(act, before, after, is_least=counts.get("is_least") is True)
    if isinstance(before, dict) and isinstance(after, dict):
        return _differing(before, after)
    if before is None or after is None:
        # It was made, or is no more.
        return _said(before if after is None else after)
    tasks = counts.get("tasks")
    beside = f", {some(tasks, 'task')}" if _is_number(tasks) else ""
    return f"{_said(before)} → {_said(after)}{beside}"


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return ", ".join(f"{label(name)} {_said(before.get(name))} → {_said(after.get(name))}" for name in names)


def _numbers(act: str, before: int, after: int, *, is_least: bool) -> str:
    there = f"at least {before:,}" if is_least else f"{before:,}"
    if act in _LEFT:
        thing = _LEFT[act]
        return f"{there} {thing if before == 1 else f'{thing}s'} → {after:,} left"
    return f"{some(before, _THERE[act])} → {after:,}" if act in _THERE else f"{there} → {after:,}"


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _fields(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{label(name)} {_said(value)}" for name, value in values.items() if value is not None)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return _fields(value)
    if isinstance(value, list):
        return " ".join(map(_said, value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return NONE if value is None else f"{value:,}" if isinstance(value, int) else str(value)
