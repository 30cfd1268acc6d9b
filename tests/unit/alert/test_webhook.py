import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks.webhooks as library
from pydantic import ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from pointsman_contract.settings_view import rows
from pointsman_service.alert.webhook import body_of, signed
from pointsman_service.alert.wording import Event, subject_line
from pointsman_service.alert.wording import test_message as message_of_test
from pointsman_service.channel_settings import EmailChannel, WebhookChannel
from pointsman_service.settings import Settings
from tests.unit.alert.words import AT, MESSAGE, NEW_SECRET, NOW, OLD_SECRET, WORDS, webhook


def headers_of(channel: WebhookChannel, body: bytes) -> dict[str, str]:
    return dict(signed("01a20271", NOW, body, channel.secrets))


@pytest.mark.parametrize("known", [OLD_SECRET, NEW_SECRET])
def test_receiver_with_either_secret_can_verify_while_they_are_changed(
    known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = webhook(secrets=[NEW_SECRET, OLD_SECRET])
    body = body_of(channel, AT, MESSAGE)
    headers = headers_of(channel, body)
    assert len(headers["webhook-signature"].split()) == 2
    at_that_time(monkeypatch)
    assert Webhook(known).verify(body, headers) == {"type": "alert.opened", "timestamp": AT, "data": MESSAGE}


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body", "secret"])
def test_message_that_was_changed_on_the_way_is_not_verified(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = webhook()
    body = body_of(channel, AT, MESSAGE)
    headers = headers_of(channel, body)
    at_that_time(monkeypatch)
    secret = OLD_SECRET if changed == "secret" else NEW_SECRET
    if changed in headers:
        headers[changed] = str(NOW + 1) if changed == "webhook-timestamp" else "another"
    elif changed == "body":
        body = body.replace(b"open", b"shut")
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def at_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library takes a message for a replay after five minutes."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Then":
            return cls.fromtimestamp(NOW, tz or UTC)

    monkeypatch.setattr(library, "datetime", Then)


def test_slack_gets_text_that_says_what_since_when_and_what_to_do() -> None:
    text = json.loads(body_of(webhook(body="slack", secrets=[]), AT, MESSAGE))["text"]
    assert text.splitlines() == [
        "[page] Alert: The oldest task on email has been due for 9 s and not started.",
        "",
        "Since: 2026-11-26T08:30:00Z",
        "Value: 9 s (limit 5 s)",
        "Next: Start more workers. See docs/troubleshooting.md#queue-growing",
        "Look: https://pointsman.example/v1/queues/email",
    ]


def test_slack_is_not_made_to_call_everybody() -> None:
    body = body_of(webhook(body="slack", secrets=[]), AT, MESSAGE | {"summary": "<!channel> & more"})
    assert "&lt;!channel&gt; &amp; more" in json.loads(body)["text"]


def test_every_event_has_its_words() -> None:
    for event in Event:
        assert subject_line(MESSAGE | {"event": event}).startswith("[page] ")
    assert message_of_test("on-call", datetime.now(UTC))["event"] == Event.TEST


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "ftp://hooks.example/"},
        {"url": "https://"},
        {"url": "https://ada:secret-word@hooks.example/"},
        {"url": "https://hooks.example:99999/"},
        {"url": "https://hooks.exa mple/secret-word"},
        {"secrets": []},
        {"secrets": ["whsec_"]},
        {"secrets": ["whsec_secret-word"]},
        {"secrets": [base64.b64encode(b"x" * 32).decode()]},
        {"secrets": ["whsec_" + base64.b64encode(b"short").decode()]},
        {"name": "On Call"},
        {"severities": []},
        {"severities": ["fatal"]},
        {"timeout_seconds": 31},
        {"colour": "red"},
    ],
)
def test_webhook_that_makes_no_sense_is_refused_and_not_repeated(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        webhook(**changes)
    assert "secret-word" not in str(caught.value)
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"alert_channels": [WORDS | changes]})
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"to": []}, {"to": ["nobody"]}, {"sender": "a\nb@c.d"}, {"user": "ada"}, {"tls": "no"}]
)
def test_mailbox_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    good = {"kind": "email", "name": "mail", "host": "mail.example", "sender": "p@x.example", "to": ["a@x.example"]}
    EmailChannel.model_validate(good)
    with pytest.raises(ValidationError):
        EmailChannel.model_validate(good | changes)


def test_secrets_and_addresses_of_channels_are_not_shown() -> None:
    channel = webhook(url="https://hooks.example/T000/secret-word", secrets=[NEW_SECRET])
    settings = Settings(alert_channels=(channel,))
    shown = repr(settings) + str(channel) + "".join(row.text for row in rows(settings, None))
    assert "secret-word" not in shown
    assert NEW_SECRET not in shown
    assert "on-call" in shown


def test_channel_over_http_is_refused_unless_it_is_allowed() -> None:
    channel = webhook(url="http://hooks.example/")
    with pytest.raises(ValidationError, match="on-call: its url must be https"):
        Settings(alert_channels=(channel,))
    assert Settings(alert_channels=(channel,), alert_allow_http=True).alert_channels == (channel,)


def test_two_channels_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two channels have one name"):
        Settings(alert_channels=(webhook(), webhook()))


def test_channels_are_read_from_json_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [
        {"kind": "webhook", "name": "on-call", "url": "https://hooks.example/x", "secrets": [NEW_SECRET]},
        {"kind": "email", "name": "mail", "host": "mail.example", "sender": "p@x.example", "to": ["a@x.example"]},
    ]
    monkeypatch.setenv("POINTSMAN_ALERT_CHANNELS", json.dumps(listed))
    assert [channel.name for channel in Settings().alert_channels] == ["on-call", "mail"]
