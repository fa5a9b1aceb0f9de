"""The table and its index on the rows that are to be sent. (MySQL has no partial indexes: there Django leaves it out.)"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """As `manage.py makemigrations` has made it."""

    initial = True

    dependencies: ClassVar[list[tuple[str, str]]] = []

    operations: ClassVar = [
        migrations.CreateModel(
            name="Row",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.TextField()),
                ("message_id", models.TextField()),
                ("form", models.TextField()),
                ("message", models.TextField()),
                ("created_at", models.BigIntegerField()),
                ("sent_at", models.BigIntegerField(null=True)),
                ("refused", models.TextField(null=True)),
            ],
            options={
                "verbose_name": "update",
                "db_table": "formlock_outbox",
                "indexes": [
                    models.Index(
                        fields=["id"],
                        name="formlock_outbox_pending",
                        condition=models.Q(("refused__isnull", True), ("sent_at__isnull", True)),
                    )
                ],
            },
        ),
    ]
