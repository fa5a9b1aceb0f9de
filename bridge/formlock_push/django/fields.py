"""The column of a record that keeps the newest token claimed for it; docs/explanation/late-saves.md says why."""

from __future__ import annotations

from typing import Any

from django.db.models import BigIntegerField, F, Model


class LockTokenField(BigIntegerField):
    """`lock_token = LockTokenField()`: 0 until somebody has claimed the record. Only `claim` writes it.

    `save` writes all columns of a record: a script that had loaded it before a takeover would put the old token back, and with it
    the loser's right to save. So an update of this column sets it to what is in the row.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"default": 0, "editable": False, **options})

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        """What is written: the row's own value, unless there is no row yet."""
        return super().pre_save(model_instance, add) if add else F(self.name)
