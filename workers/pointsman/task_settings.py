"""The settings of the shipped task types: which peers they talk to and where they keep files."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, FilePath, SecretStr, model_validator

from pointsman_contract.addresses import allowed_networks
from pointsman_contract.mailbox import Mailbox
from pointsman_contract.settings_base import SettingsBase


def _http_base(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("must be an http or https URL without user, query and fragment")
    return url.rstrip("/")


Words = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
HTTPBase = Annotated[str, AfterValidator(_http_base)]


class TaskSettings(SettingsBase):
    """Each is needed by its own task type only, which fails and names it when it is missing."""

    model_config = ConfigDict(title="Shipped task types")

    allow_private_targets: Annotated[tuple[str, ...], BeforeValidator(allowed_networks)] = ()
    """Networks that ``http_request`` and other calls whose address a caller chooses may reach though they are not
    public, such as ``10.0.0.0/8``; ``true`` stands for all. Link-local addresses and the metadata of clouds must be
    named for themselves."""

    smtp_host: Words | None = None
    """The mail server."""
    smtp_port: Port | None = None
    """Unset: 587 for starttls, 465 for implicit, 25 for none."""
    smtp_tls: Literal["starttls", "implicit", "none"] = "starttls"
    """How the connection is encrypted. ``none`` sends messages, and the password, as clear text."""
    smtp_ca_file: FilePath | None = None
    """Certificate authorities (PEM) to trust instead of this machine's."""
    smtp_user: Words | None = None
    """Unset: messages are handed over without logging in."""
    smtp_password: SecretStr | None = None
    """Of ``smtp_user``."""
    smtp_sender: Mailbox | None = None
    """The From of every message, such as ``Pointsman <noreply@example.org>``."""
    smtp_timeout_seconds: float = Field(default=15.0, gt=0, le=40)
    """Longest wait for one answer of the mail server."""

    mqtt_host: Words | None = None
    """The MQTT broker."""
    mqtt_port: Port | None = None
    """Unset: 8883 with TLS, 1883 without."""
    mqtt_tls: bool = True
    """False sends messages, and the password, as clear text."""
    mqtt_ca_file: FilePath | None = None
    """Certificate authorities (PEM) to trust instead of this machine's."""
    mqtt_user: Words | None = None
    """Unset: the broker is used anonymously."""
    mqtt_password: SecretStr | None = None
    """Of ``mqtt_user``."""
    mqtt_version: Literal["5", "3.1.1"] = "5"
    """Of the protocol. A broker that speaks 3.1.1 does not say when it refuses a message."""
    mqtt_timeout_seconds: float = Field(default=20.0, gt=0, le=40)
    """Longest time for one message, from connecting to its acknowledgement."""

    api_url: HTTPBase | None = None
    """This control plane's API, for reports and ``auto_close_jobs``. Unset: that of a running ``./scripts/up``."""
    api_key: SecretStr | None = None
    """What the API is shown where it asks for a key: one with the scopes ``metrics:read``, ``queues:read``,
    ``tasks:read`` and ``tasks:act``."""
    api_timeout_seconds: float = Field(default=15.0, gt=0)
    """Longest wait for one answer of the API."""
    reports_dir: Path | None = None
    """Where reports are written. Unset: ``reports`` in ``data_dir``."""
    reports_kept: int = Field(default=90, ge=1)
    """Most reports of one kind; one more deletes the oldest."""
    cache_dir: Path | None = None
    """What ``cleanup_cache`` cleans. Unset: ``cache`` in ``data_dir``."""
    weather_url: HTTPBase = "https://api.open-meteo.com/v1/forecast"
    """The forecast of Open-Meteo, or of a service that speaks like it."""

    @model_validator(mode="after")
    def _password_has_its_user(self) -> Self:
        for peer in ("smtp", "mqtt"):
            if getattr(self, f"{peer}_password") is not None and getattr(self, f"{peer}_user") is None:
                raise ValueError(f"{peer}_password is of no use without {peer}_user")
        return self
