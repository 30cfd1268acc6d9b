"""The settings about what crosses Redis, which service and workers must have alike."""

from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, SecretStr, model_validator

from pointsman_contract.key_rings import KeyRing
from pointsman_contract.settings_base import SettingsBase
from pointsman_contract.signing import Mode


def _ring(keys: SecretStr | None) -> SecretStr | None:
    if keys is not None:
        KeyRing.parse(keys.get_secret_value())
    return keys


class SigningSettings(SettingsBase):
    """What is believed of Redis."""

    model_config = ConfigDict(title="Signing")

    message_signing: Mode = "off"
    """``warn``: sign what goes through Redis, and say what comes unsigned. ``require``: run and record nothing else."""
    signing_keys: Annotated[SecretStr | None, AfterValidator(_ring)] = None
    """``name:secret`` of each key, by lines or commas, secrets of 32 characters or more. The first signs, all count.
    The same in service and workers."""

    @model_validator(mode="after")
    def _signing_has_keys(self) -> Self:
        if self.message_signing != "off" and self.signing_keys is None:
            raise ValueError("message_signing: needs signing_keys")
        return self
