"""The app."""

from django.apps import AppConfig


class OutboxConfig(AppConfig):
    """The outbox of a project."""

    name = "pointsman_client.outbox.django"
    label = "pointsman_outbox"
    verbose_name = "Outbox to Pointsman"
    default_auto_field = "django.db.models.BigAutoField"
