"""The table."""

from django.db import models


class OutboxRow(models.Model):
    """A submission that was committed, and what became of it."""

    key = models.CharField(max_length=255, db_index=True, help_text="The Idempotency-Key.")
    task_type = models.CharField(max_length=255)
    body = models.TextField(help_text="The submission, as it is sent.")
    submitted_at = models.DateTimeField()
    state = models.CharField(max_length=10, help_text="waiting, sent or refused")
    next_at = models.DateTimeField(null=True, help_text="When it is tried again, or deleted.")
    claim = models.CharField(max_length=32, null=True, help_text="Of the relay that sends it.")
    claimed_at = models.DateTimeField(null=True)
    tries = models.IntegerField(default=0)
    doubtful_since = models.DateTimeField(null=True, help_text="It may have been stored since then.")
    problem = models.TextField(null=True, help_text="Why it was not stored, as JSON.")
    task_id = models.CharField(max_length=36, null=True)
    ended_at = models.DateTimeField(null=True, help_text="When it was sent or refused.")

    class Meta:
        """Its place."""

        db_table = "pointsman_outbox"
        indexes = (models.Index(fields=["state", "next_at", "id"], name="ix_pointsman_outbox_next"),)
        verbose_name = "submission"

    def __str__(self) -> str:
        return f"{self.task_type} {self.key}"
