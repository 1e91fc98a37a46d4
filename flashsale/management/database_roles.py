"""The rights of PostgreSQL roles: what each role needs, and what it must not be able to do.

The owner's role runs migrations and this module's statements. The app's role, of doors, web and workers, reads and
writes rows. It cannot change tables, triggers and functions, and it can only add to the audit trail and to the lines of
settlements. A role for reports reads the tables of READABLE, without what names people and without secrets.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection

from config.database import session_limits
from flashsale.models.record import AppendOnly

# A person with one of these can act as PostgreSQL's own process, or write to tables without a grant.
DANGEROUS_ROLES = (
    "pg_write_all_data",
    "pg_execute_server_program",
    "pg_write_server_files",
    "pg_read_server_files",
    "pg_maintain",
)
ATTRIBUTES = {
    "rolsuper": "SUPERUSER",
    "rolcreaterole": "CREATEROLE",
    "rolcreatedb": "CREATEDB",
    "rolreplication": "REPLICATION",
    "rolbypassrls": "BYPASSRLS",
}
# What a role for reports may read: the tables of these models, each without these columns. The rest has no names,
# addresses, digests, payment pages, free texts, keys and secrets. A new table is not in reports before it stands here.
READABLE: Mapping[str, tuple[str, ...]] = {
    "allocation": (), "campaign": ("salt",), "campaignaxis": (), "cancellation": (),
    "channel": ("entry_url", "checkout_url"), "event": ("data",), "fairnessreport": (), "move": (), "offer": (),
    "paymentattempt": ("provider_id", "instructions", "parts", "doubt"), "reallocation": (),
    "refund": ("provider_id", "detail"),
    "reservation": ("asked", "fingerprint", "partner_reference", "metadata"), "reservationunit": (),
    "sale": ("secret", "sealed_secret"), "salecheck": ("state", "broken"), "salesample": (), "settlement": (),
    "settlementday": (), "settlementline": ("partner_reference",), "stock": (), "unit": (),
}  # fmt: skip
# What a session of a role for reports is set to. A slow report must not fill the disk with old rows for hours.
REPORTS = {
    "default_transaction_read_only": "on", "statement_timeout": 300_000, "idle_in_transaction_session_timeout": 60_000,
}  # fmt: skip
REPORT_CONNECTIONS = 5
# Seconds after which PostgreSQL ends a statement of the app where its processes cannot say so (behind PgBouncer).
STATEMENT_S = 30
TABLES = """
    SELECT relname, pg_has_role(%(role)s, relowner, 'MEMBER') AS owns,
        has_table_privilege(%(role)s, c.oid, 'TRUNCATE, TRIGGER') AS shapes,
        has_table_privilege(%(role)s, c.oid, 'DELETE') OR EXISTS (
            SELECT FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
                AND NOT (relname || '.' || attname) = ANY(%(emptied)s)
                AND has_column_privilege(%(role)s, c.oid, attnum, 'UPDATE')
        ) AS changes
    FROM pg_class c
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') ORDER BY relname"""
OURS = """
    SELECT format('%%I.%%I', current_schema(), relname), relname, relkind FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'S')
        AND pg_has_role(current_user, relowner, 'USAGE')
    ORDER BY relname"""


def append_only_tables() -> dict[str, str]:
    """The tables to which rows are only added, each with the column that may become empty ("": none).

    These are the audit trail, and every other model with this constraint.
    """
    return {
        model._meta.db_table: constraint.emptied  # noqa: SLF001 - Django's way to a table's name
        for model in apps.get_models()
        for constraint in model._meta.constraints  # noqa: SLF001
        if isinstance(constraint, AppendOnly)
    }


def grants(role: str, *, reports: bool = False) -> Iterator[str]:
    """The statements that give `role` what the app, or reports, need, and take everything else away. Safe to repeat."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(%s), quote_ident(current_schema()), quote_ident(current_database())", [role])
        name, schema, database = cursor.fetchone()
        cursor.execute(OURS, [])
        ours = cursor.fetchall()
    readable = _readable() if reports else {}
    yield f"REVOKE ALL ON DATABASE {database} FROM {name}"
    yield f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"
    yield f"REVOKE ALL ON SCHEMA {schema} FROM {name}"
    yield f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC"
    yield f"GRANT CONNECT ON DATABASE {database} TO {name}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {name}"
    for quoted, table, kind in ours:
        what = "SEQUENCE" if kind == "S" else "TABLE"
        yield f"REVOKE ALL ON {what} {quoted} FROM {name}, PUBLIC"
        rights = readable.get(table, "") if reports else _rights(table, kind)
        if rights:
            yield f"GRANT {rights} ON {what} {quoted} TO {name}"


def defaults(role: str, *, reports: bool = False) -> Iterator[str]:
    """The statements that set the limits of the role's sessions, for processes that cannot set them (PgBouncer)."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(%s)", [role])
        (name,) = cursor.fetchone()
    statement_s = settings.FLASHSALE_DB_STATEMENT_S or STATEMENT_S
    limits = session_limits(statement_s=statement_s, idle_s=settings.FLASHSALE_DB_IDLE_S)
    for setting, value in (REPORTS if reports else limits).items():
        yield f"ALTER ROLE {name} SET {setting} = {value}"
    if reports:
        yield f"ALTER ROLE {name} CONNECTION LIMIT {REPORT_CONNECTIONS}"


def may_alter(role: str) -> bool:
    """Whether the present role may set the limits of another role's sessions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper OR rolcreaterole, current_setting('server_version_num')::int FROM pg_roles "
            "WHERE rolname = current_user"
        )
        may, version = cursor.fetchone()
        if may and version >= 160000:
            # Since version 16, a role with CREATEROLE may only change roles that it has made or been given.
            cursor.execute(
                "SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR EXISTS ("
                "SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid "
                "WHERE r.rolname = %s AND m.admin_option AND pg_has_role(current_user, m.member, 'USAGE'))",
                [role],
            )
            (may,) = cursor.fetchone()
    return bool(may)


def _readable() -> dict[str, str]:
    """By table: the right of a role for reports, on some columns."""
    found = {}
    for name, hidden in READABLE.items():
        model = apps.get_model("flashsale", name)
        columns = [field.column for field in model._meta.concrete_fields if field.column not in hidden]  # noqa: SLF001
        found[model._meta.db_table] = f"SELECT ({', '.join(map(connection.ops.quote_name, columns))})"  # noqa: SLF001
    return found


def _rights(table: str, kind: str) -> str:
    if kind == "S":
        return "USAGE, SELECT"
    if table == "django_migrations":
        return "SELECT"
    emptied = append_only_tables().get(table)
    if emptied is None:
        return "SELECT, INSERT, UPDATE, DELETE"
    return f"SELECT, INSERT, UPDATE ({emptied})" if emptied else "SELECT, INSERT"


def dangers(role: str) -> list[str]:
    """What this role can do to the audit trail and to tables, in words; empty if it has only the rights of the app."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(ATTRIBUTES)} FROM pg_roles WHERE rolname = %s", [role])  # noqa: S608 - ours
        found = [f"is {word}" for has, word in zip(cursor.fetchone(), ATTRIBUTES.values(), strict=True) if has]
        if "is SUPERUSER" in found:
            return ["is SUPERUSER"]  # everything else follows
        return [*found, *_of_owners(cursor, role), *_of_tables(cursor, role)]


def _of_owners(cursor: Any, role: str) -> list[str]:
    cursor.execute(
        """
        SELECT pg_has_role(%(role)s, nspowner, 'MEMBER'), has_schema_privilege(%(role)s, nspname, 'CREATE'),
            (SELECT pg_has_role(%(role)s, datdba, 'MEMBER') FROM pg_database WHERE datname = current_database()),
            ARRAY(SELECT rolname::text FROM pg_roles
                WHERE rolname = ANY(%(dangerous)s) AND pg_has_role(%(role)s, oid, 'MEMBER'))
        FROM pg_namespace WHERE nspname = current_schema()""",
        {"role": role, "dangerous": list(DANGEROUS_ROLES)},
    )
    owns_schema, creates, owns_database, member_of = cursor.fetchone()
    return [
        *(["owns the database"] if owns_database else []),
        *(["owns the schema"] if owns_schema else []),
        *(["can create tables and functions in the schema"] if creates else []),
        *(f"is a member of {name}" for name in member_of),
    ]


def _of_tables(cursor: Any, role: str) -> list[str]:
    only_added = append_only_tables() | {"django_migrations": ""}
    cursor.execute(TABLES, {"role": role, "emptied": [f"{table}.{column}" for table, column in only_added.items()]})
    rows = cursor.fetchall()
    owned = [table for table, owns, _, _ in rows if owns]
    shaped = [table for table, _, shapes, _ in rows if shapes]
    changed = [table for table, _, _, changes in rows if changes and table in only_added]
    return [
        *([f"owns {_some(owned)}, so it can drop their triggers"] if owned else []),
        *([f"can truncate or put triggers on {_some(shaped)}"] if shaped else []),
        *([f"can change or delete rows of {_some(changed)}"] if changed else []),
    ]


def _some(names: list[str]) -> str:
    """The first names, the tables of the trail before all others."""
    first = sorted(names, key=lambda name: name not in append_only_tables())[:2]
    return ", ".join(first) + (f" and {len(names) - len(first)} more tables" if len(names) > len(first) else "")
