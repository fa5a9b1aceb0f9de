"""Settings of the example. What another machine has otherwise comes from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.utils import get_random_secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
NODE = BASE_DIR.parent.parent / ".crossbar"

# Kept for as long as the process lives: whoever is logged in has to log in again after a restart.
SECRET_KEY = os.environ.get("SHOP_SECRET_KEY") or get_random_secret_key()
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = [
    # First, so that what it connects to a model is called before what others do.
    "formlock_push.django",
    "formlock_push.django_outbox",
    "invoices",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]

MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "formlock_push.django.middleware.FormLockMiddleware",
]

FORMLOCK: dict[str, Any] = {
    "PUSH": os.environ.get("FORMLOCK_PUSH", "tcp://127.0.0.1:5555"),
    # With `SHOP_OUTBOX=1` nothing is lost that was committed; then `manage.py formlock_relay` has to run too.
    "OUTBOX": os.environ.get("SHOP_OUTBOX") == "1",
    "RECEIPT_KEY": Path(os.environ.get("FORMLOCK_RECEIPT_KEY_FILE", NODE / "credentials" / "receipts")),
    "SOURCE": "shop",
}
# Where the node serves its script.
FORMLOCK_NODE = os.environ.get("FORMLOCK_NODE", "http://127.0.0.1:8080")

DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("SHOP_DATABASE", BASE_DIR / "shop.sqlite")}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]

ROOT_URLCONF = "shop.urls"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "list"
USE_TZ = True
