"""The settings about what crosses Redis and what is stored, which service and workers must have alike."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, SecretStr, model_validator

from pointsman_contract.key_rings import KeyRing
from pointsman_contract.sealing import Sealer
from pointsman_contract.settings_base import SettingsBase
from pointsman_contract.signing import Mode, Trust


def _ring(keys: SecretStr | None) -> SecretStr | None:
    if keys is not None:
        KeyRing.parse(keys.get_secret_value())
    return keys


class SigningSettings(SettingsBase):
    """What is believed of Redis, and what lies there and in PostgreSQL in the clear."""

    model_config = ConfigDict(title="Signing and encryption")

    message_signing: Mode = "off"
    """``warn``: sign what goes through Redis, and say what comes unsigned. ``require``: run and record nothing else."""
    signing_keys: Annotated[SecretStr | None, AfterValidator(_ring)] = None
    """``name:secret`` of each key, by lines or commas, secrets of 32 characters or more. The first signs, all count.
    The same in service and workers."""

    payload_encryption: Literal["off", "on"] = "off"
    """Encrypt arguments, results, errors, progress and lines of runs, in PostgreSQL and Redis."""
    encryption_keys: Annotated[SecretStr | None, AfterValidator(_ring)] = None
    """As ``signing_keys``: the first key encrypts, all of them decrypt, also while ``payload_encryption`` is off. Needs
    the extra ``encryption`` of workers."""

    @property
    def trust(self) -> Trust:
        """What is believed of Redis."""
        return Trust.of(self.message_signing, self.signing_keys)

    @property
    def sealer(self) -> Sealer | None:
        """What seals and opens payloads; None: there are no keys."""
        return Sealer.of(self.encryption_keys)

    @property
    def sealing(self) -> Sealer | None:
        """The same, where payloads are to be sealed."""
        return self.sealer if self.payload_encryption == "on" else None

    @model_validator(mode="after")
    def _signing_has_keys(self) -> Self:
        if self.message_signing != "off" and self.signing_keys is None:
            raise ValueError("message_signing: needs signing_keys")
        if self.payload_encryption != "off" and self.encryption_keys is None:
            raise ValueError("payload_encryption: needs encryption_keys")
        return self
