"""How a guarded call ended, as a circuit breaker takes it."""

from pointsman_client.models import OutcomeReport, Permit


def outcome_of(
    failed: BaseException | None,
    ignored: type[Exception] | tuple[type[Exception], ...],
    run_seconds: float,
    permit: Permit | None,
) -> OutcomeReport:
    """A success, a failure by the class of its exception, or nobody's failure: what was ignored or cancelled."""
    report = OutcomeReport(outcome="success", run_seconds=run_seconds)
    if permit is not None:
        report["epoch"] = permit.epoch
        if permit.permit is not None:
            report["permit"] = permit.permit
    if failed is None:
        return report
    if not isinstance(failed, Exception) or isinstance(failed, ignored):
        report["outcome"] = "ignored"
        return report
    kind = type(failed)
    report["outcome"] = "failure"
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    report["error"] = name[:200]
    return report
