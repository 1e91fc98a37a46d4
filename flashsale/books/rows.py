"""Reads, inserts or changes many rows in one statement, for tables with hundreds of rows a second."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from django.db import connection
from django.db.models import Model, QuerySet


def columns_of(model: type[Model], prefix: str = "") -> list[str]:
    """The names of all columns of a model, for `values_list` and `Model.from_db`."""
    return [prefix + field.attname for field in model._meta.concrete_fields]  # noqa: SLF001 - Django documents it


class Select:
    """A query by lists of values. Its rows are tuples.

    `make` gets the lists and returns a queryset of `values_list`, with one condition `__in` for each list, in their
    order, and no other values. Django compiles it once: on PostgreSQL each list is one array, so the text never
    changes. To compile it for each call would cost more than to run it.
    """

    def __init__(self, make: "Callable[..., QuerySet[Any, Any]]") -> None:
        self._make = make
        self._compiled: tuple[str, Any, Any] | None = None

    def __call__(self, *lists: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows; none if a list is empty."""
        if not all(lists):
            return []
        if connection.vendor != "postgresql":
            return list(self._make(*lists))
        # Threads that come first at the same time compile it twice, and store the same.
        sql, compiler, converters = self._compiled = self._compiled or self._compile([one[:1] for one in lists])
        with connection.cursor() as cursor:
            cursor.execute(sql, [list(values) for values in lists])
            rows = cursor.fetchall()
        return [tuple(row) for row in compiler.apply_converters(rows, converters)] if converters else rows

    def _compile(self, samples: Sequence[Sequence[Any]]) -> tuple[str, Any, Any]:
        compiler = self._make(*samples).query.get_compiler(connection=connection)
        sql, values = compiler.as_sql()
        if sql.count(" IN (%s)") != len(samples) or len(values) != len(samples):
            raise ValueError(f"a Select has one condition __in for each list and no other values: {sql}")
        return (
            sql.replace(" IN (%s)", " = ANY(%s)"),
            compiler,
            compiler.get_converters([column for column, _, _ in compiler.select]),
        )


def insert(model: type[Model], columns: Mapping[str, Sequence[Any]], *, skip_known: bool = False) -> None:
    """Inserts rows. `columns` maps the name of a column to its values, row by row; all other columns stay null.

    `skip_known` leaves out a row that would break a rule of uniqueness.

    PostgreSQL gets one JSON text as the only parameter, because that costs client and server a tenth of one parameter
    for each value. Raises IntegrityError as any insert does.
    """
    sql, names = _statement(model, tuple(columns), connection.vendor), tuple(columns)
    sql += " ON CONFLICT DO NOTHING" if skip_known else ""
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


def update(
    model: type[Model], key: str | tuple[str, ...], columns: Mapping[str, Sequence[Any]], *, only_null: str = ""
) -> int:
    """Changes rows, each to its own values; how many. `key` is the column, also in `columns`, that names the row.

    Several columns may name it together. `only_null` is a column: a row that has a value in it is not changed.
    """
    names, keys = tuple(columns), (key,) if isinstance(key, str) else key
    sql = _update_statement(model, keys, names, only_null, connection.vendor)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            cursor.execute(sql, [orjson.dumps(rows, default=str).decode()])
        else:
            order = [name for name in names if name not in keys] + list(keys)
            fields = _fields(model, order)
            values = (
                [field.get_db_prep_save(value, connection) for value in columns[name]]
                for field, name in zip(fields, order, strict=True)
            )
            cursor.executemany(sql, list(zip(*values, strict=True)))
        return int(cursor.rowcount)


@cache
def _update_statement(
    model: type[Model], keys: tuple[str, ...], names: tuple[str, ...], only_null: str, vendor: str
) -> str:
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)  # noqa: SLF001 - Django documents it
    changed = [name for name in names if name not in keys]
    null = f" AND t.{quote(only_null)} IS NULL" if only_null else ""
    if vendor != "postgresql":
        marks = ", ".join(f"{quote(name)} = %s" for name in changed)
        which = " AND ".join(f"t.{quote(key)} = %s" for key in keys)
        return f"UPDATE {table} AS t SET {marks} WHERE {which}{null}"  # noqa: S608 - names of our own
    marks = ", ".join(f"{quote(name)} = rows.{quote(name)}" for name in changed)
    which = " AND ".join(f"t.{quote(key)} = rows.{quote(key)}" for key in keys)
    return (
        f"UPDATE {table} AS t SET {marks} FROM json_to_recordset(%s) AS rows({_shape(model, names)})"  # noqa: S608
        f" WHERE {which}{null}"
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
