"""Whether an alert reaches anybody. Pure."""

from collections.abc import Iterator

from pointsman_service.alert.kinds import Severity
from pointsman_service.channel_settings import AlertChannel
from pointsman_service.console.doctor.finding import Finding, Unknown, fault, ok, unknown, warning
from pointsman_service.console.doctor.service_facts import ServiceFacts
from pointsman_service.settings import Settings
from pointsman_service.store.alerts.deliveries import DeliveryRow


def channels(settings: Settings, facts: ServiceFacts | Unknown) -> Iterator[Finding]:
    """Each channel, and what all of them leave out."""
    if not settings.alert_channels:
        yield warning(
            "channels", "no channel for alerts: they are listed and logged, and nobody is told", "Set alert_channels."
        )
        return
    taken = {severity for channel in settings.alert_channels for severity in channel.severities}
    for severity in Severity:
        if severity not in taken:
            yield warning(
                "channels",
                f"no channel takes alerts of severity {severity}",
                f"Add {severity} to the severities of one.",
            )
    if settings.alert_base_url is None:
        yield warning("channels", "links in messages are paths, which nobody can follow", "Set alert_base_url.")
    for channel in settings.alert_channels:
        check = f"channels.{channel.name}"
        if isinstance(facts, Unknown):
            yield unknown(check, facts)
        else:
            yield delivered(check, channel, facts.last_tried.get(channel.name))


def delivered(check: str, channel: AlertChannel, last: DeliveryRow | None) -> Finding:
    """What its newest message came to."""
    if last is None:
        return warning(
            check,
            f"a {channel.kind} that has never been given a message",
            f"Try it: POST /v1/alert-channels/{channel.name}/test",
        )
    when = f"{last.created_at:%Y-%m-%d %H:%M} UTC"
    if last.status == "sent":
        return ok(check, f"a {channel.kind}; its newest message, of {when}, was delivered")
    why = last.error or last.last_status or "no answer yet"
    tried = "once" if last.attempts == 1 else f"{last.attempts} times"
    advice = "Mend what it says; /v1/alert-deliveries lists every message."
    if last.status == "pending":
        return fault(check, f"its newest message, of {when}, was tried {tried} and did not arrive: {why}", advice)
    return fault(check, f"its newest message, of {when}, was given up ({last.status}): {why}", advice)
