"""The table of invoices."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

import formlock_push.django.fields


class Migration(migrations.Migration):
    """As `manage.py makemigrations` has made it."""

    initial = True

    dependencies: ClassVar = []

    operations: ClassVar = [
        migrations.CreateModel(
            name="Invoice",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("customer", models.CharField(max_length=120)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=11)),
                ("notes", models.TextField(blank=True)),
                ("version", models.IntegerField(default=1, editable=False)),
                ("lock_token", formlock_push.django.fields.LockTokenField(default=0, editable=False)),
            ],
        ),
    ]
