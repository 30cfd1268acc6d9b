"""Every setting of the control plane, validated once at start. Units are in the names.

Each is read from the environment with the prefix ``POINTSMAN_``, nested ones as JSON, else from the file that
``POINTSMAN_CONFIG`` names (``pointsman_contract.configuration``). ``docs/configuration.md`` lists them all.
"""

from pydantic import SecretStr

from pointsman_contract.run_file import RunFile
from pointsman_contract.server_urls import with_password
from pointsman_contract.signing_settings import SigningSettings
from pointsman_service.setting_groups import (
    AlertSettings,
    ConnectionSettings,
    DispatchSettings,
    OidcSettings,
    OutlierSettings,
    ProcessSettings,
    RecordSettings,
    RequestSettings,
    RoutingSettings,
    SubmissionSettings,
)


class Settings(
    # The fields of the last come first.
    AlertSettings,
    RecordSettings,
    DispatchSettings,
    SubmissionSettings,
    ConnectionSettings,
    RequestSettings,
    OutlierSettings,
    RoutingSettings,
    OidcSettings,
    SigningSettings,
    ProcessSettings,
):
    """The control plane's configuration.

    Raises ``pydantic.ValidationError`` naming every bad value, and ``BadConfiguration`` for a file that cannot be used;
    ``pointsman_contract.settings_view.read_settings`` makes one of both, with a line for each fault.
    """

    def require_database_url(self) -> str:
        """The database URL. Raises ``SystemExit`` with what to do when there is none."""
        if self.database_url is not None:
            return _whole(self.database_url, self.database_password)
        running = RunFile.read(self.data_dir)
        if running is None:
            raise SystemExit(
                f"No database: set POINTSMAN_DATABASE_URL, or start ./scripts/up"
                f" (looked for in {self.data_dir}, which is POINTSMAN_DATA_DIR)."
            )
        return running.database_url

    def owner_url(self) -> str | None:
        """The URL of the database's owner; None: there is none beside the user of the service."""
        if self.database_owner_url is None:
            return None
        return _whole(self.database_owner_url, self.database_owner_password)

    def require_redis_url(self) -> str:
        """The Redis URL. Raises ``SystemExit`` with what to do when there is none."""
        if self.redis_url is not None:
            return _whole(self.redis_url, self.redis_password)
        running = RunFile.read(self.data_dir)
        if running is None:
            raise SystemExit(
                f"No broker: set POINTSMAN_REDIS_URL, or start ./scripts/up"
                f" (looked for in {self.data_dir}, which is POINTSMAN_DATA_DIR)."
            )
        return running.redis_url


def _whole(url: SecretStr, password: SecretStr | None) -> str:
    return with_password(url.get_secret_value(), None if password is None else password.get_secret_value())
