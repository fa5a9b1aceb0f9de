"""The table of `formlock_push.outbox`, which says what its columns mean. Read it as you like; only the relay marks the rows."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from formlock_push.outbox import TABLE


class Row(models.Model):
    """An update that is told, or was."""

    source = models.TextField()
    message_id = models.TextField()
    form = models.TextField()
    message = models.TextField()
    created_at = models.BigIntegerField()
    sent_at = models.BigIntegerField(null=True)
    refused = models.TextField(null=True)  # null: it may be taken

    class Meta:
        """As the relay looks for rows."""

        db_table = TABLE
        verbose_name = "update"
        indexes: ClassVar = [
            models.Index(fields=["id"], name=f"{TABLE}_pending", condition=models.Q(sent_at__isnull=True, refused__isnull=True))
        ]

    def __str__(self) -> str:
        return f"{self.form} ({self.message_id})"
