"""What tests of Django need: databases of each test's own, and a pusher that keeps what it is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.apps import apps
from django.db import connections

from formlock_push import Update
from tests.backends.django_app import ALIASES

# By name, since its module can be imported only when Django is set up.
Row = apps.get_model("formlock_outbox", "Row")


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
