"""The values of rows as JSON, for comparisons and for the audit trail."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import models

from flashsale.models.record import record_name
from flashsale.rules.trail import text_digest

# Field values by field, by the row's name in the trail, such as "sale:3".
State = Mapping[str, Mapping[str, Any]]


def state_of(rows: Iterable[models.Model]) -> State:
    """What forms can change of these rows, as values for the audit trail."""
    return {record_name(row): _values(row) for row in rows}


def _values(row: models.Model) -> dict[str, Any]:
    options = row._meta  # noqa: SLF001 - Django's documented way to the fields
    fields = [field for field in options.concrete_fields if field.editable and not field.primary_key]
    values = {field.name: _value(row, field) for field in fields}
    for field in options.many_to_many:
        values[field.name] = sorted(getattr(row, field.name).values_list("pk", flat=True))
    return values


def _value(row: models.Model, field: Any) -> Any:
    """A value as JSON. Of other apps' texts, such as the names of users, only the digest: they are personal data."""
    value = field.value_from_object(row)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, str) and value and row._meta.app_label != "flashsale":  # noqa: SLF001
        return text_digest(value)
    return value if value is None or isinstance(value, bool | int | str) else text_digest(str(value))


def changes_between(before: State, after: State) -> dict[str, Any]:
    """The added and deleted rows with their values, and the old and new value of each changed field."""
    kept = [name for name in before if name in after]
    changed = {
        name: {field: [old, after[name][field]] for field, old in before[name].items() if old != after[name][field]}
        for name in kept
    }
    found = {
        "added": {name: dict(after[name]) for name in after if name not in before},
        "changed": {name: fields for name, fields in changed.items() if fields},
        "deleted": {name: dict(before[name]) for name in before if name not in after},
    }
    return {verb: rows for verb, rows in found.items() if rows}
