"""Which roles of the control plane somebody has, by the leads that their processes hold."""

from collections.abc import Mapping
from enum import StrEnum

from pointsman_service.store.metrics.watching import LeadRow

RECONCILER = "epoch"
"""The lead that a reconciler has, for all its sweeps. Of this name since when each had its own: processes of the
release before go by it."""
STAND_IN = "stand-in"
"""The lead of the one process that looks after alerts and workers while there is no reconciler."""


class LedRole(StrEnum):
    """A role that one process of many has at a time."""

    DISPATCHER = "dispatcher"
    RECORDER = "recorder"
    RECONCILER = "reconciler"


LEADS: Mapping[LedRole, str] = {
    LedRole.DISPATCHER: "dispatcher",
    LedRole.RECORDER: "recorder",
    LedRole.RECONCILER: RECONCILER,
}


def unled_seconds(leads: Mapping[str, LeadRow], leader_seconds: float) -> dict[LedRole, float]:
    """Since when nobody has had each role: 0 while somebody leads, infinite when nobody ever did.

    A process that ended in order went then; one that died, when it last renewed its lead of ``leader_seconds``.
    """
    return {role: _unled(leads.get(name), leader_seconds) for role, name in LEADS.items()}


def _unled(lead: LeadRow | None, leader_seconds: float) -> float:
    if lead is None:
        return float("inf")
    if lead.left_seconds > 0:
        return 0.0
    return -lead.left_seconds + (0.0 if lead.given_up else leader_seconds)
