"""`INSTALLED_APPS = ["formlock_push.django", ...]`: the hook, with what `FORMLOCK` says."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings

from formlock_push.django import conf, hook


class FormLock(AppConfig):
    """Has no models of its own."""

    name = "formlock_push.django"
    label = "formlock"
    verbose_name = "Form lock"

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        # Not in `ready`: by then the models exist, and others may have connected to them.
        hook.listen()

    def ready(self) -> None:
        """With the first record nothing is connected yet: that takes a push."""
        configured = conf.read(getattr(settings, "FORMLOCK", None))
        sender = conf.sender_of(configured)
        if sender is None or hook.installed() is not None:
            return
        hook.install(sender, jobs=configured.jobs, bulk_limit=configured.bulk_limit, source=configured.source)
