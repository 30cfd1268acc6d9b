"""The table."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Makes it."""

    initial = True

    dependencies = ()

    operations = (
        migrations.CreateModel(
            name="OutboxRow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(db_index=True, help_text="The Idempotency-Key.", max_length=255)),
                ("task_type", models.CharField(max_length=255)),
                ("body", models.TextField(help_text="The submission, as it is sent.")),
                ("submitted_at", models.DateTimeField()),
                ("state", models.CharField(help_text="waiting, sent or refused", max_length=10)),
                ("next_at", models.DateTimeField(help_text="When it is tried again, or deleted.", null=True)),
                ("claim", models.CharField(help_text="Of the relay that sends it.", max_length=32, null=True)),
                ("claimed_at", models.DateTimeField(null=True)),
                ("tries", models.IntegerField(default=0)),
                ("doubtful_since", models.DateTimeField(help_text="It may have been stored since then.", null=True)),
                ("problem", models.TextField(help_text="Why it was not stored, as JSON.", null=True)),
                ("task_id", models.CharField(max_length=36, null=True)),
                ("ended_at", models.DateTimeField(help_text="When it was sent or refused.", null=True)),
            ],
            options={
                "verbose_name": "submission",
                "db_table": "pointsman_outbox",
                "indexes": [models.Index(fields=["state", "next_at", "id"], name="ix_pointsman_outbox_next")],
            },
        ),
    )
