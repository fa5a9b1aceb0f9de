"""Django in this process: set up once, with databases of each test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.db import connections

from formlock_push import Update

# Django refuses its ORM where an asyncio loop is installed in the thread; pytest-twisted leaves one.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

ALIASES = ("default", "other")

if not settings.configured:
    settings.configure(
        SECRET_KEY="only for tests",
        DATABASES={
            alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "OPTIONS": {"timeout": 0.1}} for alias in ALIASES
        },
        INSTALLED_APPS=[
            "formlock_push.django",
            "formlock_push.django_outbox",
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "tests.backends.django_app",
        ],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        ROOT_URLCONF="tests.backends.django_app.urls",
        ALLOWED_HOSTS=["testserver"],
        # Each test installs its own hook.
        FORMLOCK={"PUSH": None, "RECEIPT_KEY": "k" * 43},
    )
    django.setup()


class Sent(list[Update]):
    """Takes everything."""

    def send(self, update: Update) -> bool:
        self.append(update)
        return True

    def take(self) -> list[tuple[str, str, Any]]:
        """`(form, status, change_set)` of what came since the last time."""
        taken = [(update.form.removeprefix("com.example.form."), update.status, update.change_set) for update in self]
        self.clear()
        return taken


@contextmanager
def databases(folder: Path, *labels: str) -> Iterator[None]:
    """Fresh files with the tables of these apps (`django_app` when none is named) under all aliases."""
    for alias in ALIASES:
        connection = connections[alias]
        connection.close()
        connection.settings_dict["NAME"] = str(folder / f"{alias}.sqlite")
        with connection.schema_editor() as editor:
            for label in labels or ("django_app",):
                for model in apps.get_app_config(label).get_models(include_auto_created=False):
                    editor.create_model(model)
    try:
        yield
    finally:
        for alias in ALIASES:
            connections[alias].close()
