"""Inserts or changes many rows in one statement, without model objects, for tables with hundreds of rows a second."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from django.db import connection
from django.db.models import Model


def insert(model: type[Model], columns: Mapping[str, Sequence[Any]]) -> None:
    """Inserts rows. `columns` maps the name of a column to its values, row by row; all other columns stay null.

    PostgreSQL gets one JSON text as the only parameter, because that costs client and server a tenth of one parameter
    for each value. Raises IntegrityError as any insert does.
    """
    sql, names = _statement(model, tuple(columns), connection.vendor), tuple(columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            cursor.execute(sql, [orjson.dumps(rows, default=str).decode()])
        else:
            fields = _fields(model, names)
            values = (
                [field.get_db_prep_save(value, connection) for value in column]
                for field, column in zip(fields, columns.values(), strict=True)
            )
            cursor.executemany(sql, list(zip(*values, strict=True)))


def update(model: type[Model], key: str, columns: Mapping[str, Sequence[Any]]) -> int:
    """Changes rows, each to its own values; how many. `key` is the column, also in `columns`, that names the row."""
    names = tuple(columns)
    sql = _update_statement(model, key, names, connection.vendor)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            cursor.execute(sql, [orjson.dumps(rows, default=str).decode()])
            return int(cursor.rowcount)
        order = [name for name in names if name != key] + [key]
        fields = _fields(model, order)
        values = (
            [field.get_db_prep_save(value, connection) for value in columns[name]]
            for field, name in zip(fields, order, strict=True)
        )
        cursor.executemany(sql, list(zip(*values, strict=True)))
        return len(columns[key])


@cache
def _update_statement(model: type[Model], key: str, names: tuple[str, ...], vendor: str) -> str:
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)  # noqa: SLF001 - Django documents it
    changed = [name for name in names if name != key]
    if vendor != "postgresql":
        marks = ", ".join(f"{quote(name)} = %s" for name in changed)
        return f"UPDATE {table} SET {marks} WHERE {quote(key)} = %s"  # noqa: S608 - names of our own
    marks = ", ".join(f"{quote(name)} = rows.{quote(name)}" for name in changed)
    return (
        f"UPDATE {table} AS t SET {marks} FROM json_to_recordset(%s) AS rows({_shape(model, names)})"  # noqa: S608
        f" WHERE t.{quote(key)} = rows.{quote(key)}"
    )


@cache
def _statement(model: type[Model], names: tuple[str, ...], vendor: str) -> str:
    quote = connection.ops.quote_name
    quoted = ", ".join(map(quote, names))
    head = f"INSERT INTO {quote(model._meta.db_table)} ({quoted})"  # noqa: SLF001 - Django documents it
    if vendor != "postgresql":
        return f"{head} VALUES ({', '.join(['%s'] * len(names))})"
    shape = _shape(model, names)
    return f"{head} SELECT {quoted} FROM json_to_recordset(%s) AS rows({shape})"  # noqa: S608 - names of our own


def _shape(model: type[Model], names: Sequence[str]) -> str:
    """The columns with their types, without lengths: a cast to varchar(n) would cut a text that must be refused."""
    types = [str(field.db_type(connection)).partition("(")[0] for field in _fields(model, names)]
    quote = connection.ops.quote_name
    return ", ".join(f"{quote(name)} {type_}" for name, type_ in zip(names, types, strict=True))


def _fields(model: type[Model], names: Sequence[str]) -> list[Any]:
    by_name = {field.attname: field for field in model._meta.concrete_fields}  # noqa: SLF001
    return [by_name[name] for name in names]
