"""Where messages about alerts go: the channels of ``alert_channels``, checked at start, their secrets never shown."""

import base64
import binascii
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FilePath, SecretStr, model_validator

from pointsman_contract.mailbox import Mailbox

_SECRET_PREFIX = "whsec_"  # noqa: S105 - how Standard Webhooks marks a secret
_FEWEST_BYTES, _MOST_BYTES = 24, 64


def _web_address(url: SecretStr) -> SecretStr:
    # Most who read the settings have no channel, and to load it takes longer than to read them.
    from httpx import URL, InvalidURL

    # No message holds the URL: often it is the secret.
    try:
        parts = URL(url.get_secret_value())
    except InvalidURL:
        raise ValueError("is no URL") from None
    if parts.scheme not in ("https", "http") or not parts.host or "%" in parts.host:
        raise ValueError("must be an https URL with a host")
    if parts.userinfo:
        raise ValueError("must not hold a user or a password")
    if parts.port is not None and not 0 < parts.port < 65536:
        raise ValueError("has no port that can be")
    return url


def _signing_secret(secret: SecretStr) -> SecretStr:
    if len(signing_key(secret)) not in range(_FEWEST_BYTES, _MOST_BYTES + 1):
        raise ValueError(f"must be {_SECRET_PREFIX} and {_FEWEST_BYTES} to {_MOST_BYTES} bytes in base64")
    return secret


def signing_key(secret: SecretStr) -> bytes:
    """The bytes to sign with (Standard Webhooks: ``whsec_`` and base64); none when it is no such secret."""
    text = secret.get_secret_value()
    try:
        return base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True) if _is_marked(text) else b""
    except (binascii.Error, ValueError):
        return b""


def _is_marked(text: str) -> bool:
    return text.startswith(_SECRET_PREFIX)


CHANNEL_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
ChannelName = Annotated[str, Field(pattern=CHANNEL_NAME)]
Severities = Annotated[tuple[Literal["page", "ticket"], ...], Field(min_length=1)]


class WebhookChannel(BaseModel):
    """An HTTP endpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Literal["webhook"]
    """``webhook``."""
    name: ChannelName
    """Names the channel in deliveries and in the API."""
    severities: Severities = ("page", "ticket")
    """Alerts it is told of."""
    timeout_seconds: float = Field(default=10.0, gt=0, le=30)
    """Longest time for one attempt, from resolving the name to the answer."""
    url: Annotated[SecretStr, AfterValidator(_web_address)]
    """Where it is. Kept secret, as many of them are."""
    secrets: tuple[Annotated[SecretStr, AfterValidator(_signing_secret)], ...] = Field(default=(), max_length=5)
    """Standard Webhooks secrets (``whsec_…``). Every one signs, so that they can be changed one after the other."""
    body: Literal["standard", "slack"] = "standard"
    """``standard``: JSON with type, timestamp and data; ``slack``: ``{"text": …}``."""
    ca_file: FilePath | None = None
    """Certificate authorities (PEM) to trust instead of the usual ones."""

    @property
    def is_https(self) -> bool:
        """Whether the connection is encrypted."""
        from httpx import URL

        return URL(self.url.get_secret_value()).scheme == "https"

    @model_validator(mode="after")
    def _standard_is_signed(self) -> Self:
        if self.body == "standard" and not self.secrets:
            raise ValueError("secrets: a webhook with the body standard needs at least one")
        return self


class EmailChannel(BaseModel):
    """A mail server and who gets mail."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    kind: Literal["email"]
    """``email``."""
    name: ChannelName
    """Names the channel in deliveries and in the API."""
    severities: Severities = ("page", "ticket")
    """Alerts it is told of."""
    timeout_seconds: float = Field(default=15.0, gt=0, le=30)
    """Longest time for one attempt, from resolving the name to the answer."""
    host: str = Field(min_length=1)
    """The mail server."""
    port: int | None = Field(default=None, ge=1, le=65535)
    """Unset: 587 for starttls, 465 for implicit, 25 for none."""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """How the connection is encrypted. ``none`` sends messages, and the password, as clear text."""
    ca_file: FilePath | None = None
    """Certificate authorities (PEM) to trust instead of this machine's."""
    user: str | None = Field(default=None, min_length=1)
    """Unset: messages are handed over without logging in."""
    password: SecretStr | None = None
    """Of ``user``."""
    sender: Mailbox
    """The From of every message, such as ``Pointsman <noreply@example.org>``."""
    to: tuple[Mailbox, ...] = Field(min_length=1, max_length=20)
    """Who gets it."""

    @model_validator(mode="after")
    def _password_has_its_user(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together")
        return self


AlertChannel = Annotated[WebhookChannel | EmailChannel, Field(discriminator="kind")]


def unlike_names(channels: tuple[AlertChannel, ...]) -> tuple[AlertChannel, ...]:
    """The channels, no two with one name. Raises ``ValueError``."""
    names = [channel.name for channel in channels]
    if len(names) != len(set(names)):
        raise ValueError("two channels have one name")
    return channels
