"""The app that has the outbox's table."""

from __future__ import annotations

from django.apps import AppConfig


class FormLockOutbox(AppConfig):
    """In each database whose records are told: `manage.py migrate formlock_outbox --database NAME`."""

    name = "formlock_push.django_outbox"
    label = "formlock_outbox"
    verbose_name = "Form lock's outbox"
    default_auto_field = "django.db.models.BigAutoField"
