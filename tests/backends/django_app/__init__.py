"""An application as Django knows it. Importing it sets Django up in this process: that can be done once only."""

from __future__ import annotations

import django
from django.conf import settings

ALIASES = ("default", "other")

if not settings.configured:
    settings.configure(
        SECRET_KEY="only for tests",
        DATABASES={
            alias: {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": ":memory:",
                "OPTIONS": {"timeout": 0.1, "init_command": "PRAGMA synchronous=OFF"},
            }
            for alias in ALIASES
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
