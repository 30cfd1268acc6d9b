"""A server's clock beside this machine's. Pure."""

from pointsman_service.console.doctor.finding import Finding, fault, ok, warning

_APART_SECONDS = 1.0
_FAR_APART_SECONDS = 60.0
_MEND = "Let every machine keep its clock by NTP."


def clock(check: str, name: str, ahead_seconds: float, unsure_seconds: float) -> Finding:
    """``ahead_seconds`` may be wrong by ``unsure_seconds``: what that explains is no finding."""
    apart = max(abs(ahead_seconds) - unsure_seconds, 0.0)
    side = "ahead of" if ahead_seconds > 0 else "behind"
    says = f"the clock of {name} is {abs(ahead_seconds):.1f} s {side} this machine's"
    if apart >= _FAR_APART_SECONDS:
        return fault(check, f"{says}: what is due, and until when, is judged by another time than callers have", _MEND)
    if apart >= _APART_SECONDS:
        return warning(check, says, _MEND)
    return ok(
        check, f"the clock of {name} agrees with this machine's within {abs(ahead_seconds) + unsure_seconds:.2f} s"
    )
