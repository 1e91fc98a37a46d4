"""Migrations are added, never edited, and bring a filled database of the first version to the newest without a loss."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import DatabaseError, connection, connections, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from flashsale import migrations
from flashsale.management.commands.roles import ROLES
from flashsale.models import Campaign, Event, PaymentAttempt, Record, Reservation, Sale
from flashsale.rules.events import state_after, subject_of
from flashsale.rules.lottery import commitment
from tests import servers

pytestmark = pytest.mark.books
HASHES = Path(__file__).with_name("migrations.sha256")
DATABASE, FRESH = "upgrade", "fresh"
FIRST = "0001_books"
# The last versions before sealed secrets, before attempts and refunds, and before lines of settlements.
BEFORE_SEALING, BEFORE_ATTEMPTS, BEFORE_SETTLEMENT = "0005_permission_names", "0016_clock_mark", "0038_sandbox"
PAYMENT_STATES = ("started", "paid", "declined", "refund_due", "refunded", "refund_failed")
TRIGGER, LINES_TRIGGER = "audit_trail_append_only", "settlement_lines_append_only"
NEW_NAMES = {
    "Claim": "LimitSlot",
    "Unpaid": "UnpaidHold",
    "Listed": "ListEntry",
    "Remembered": "CrowdBackup",
    "Opened": "CaseView",
    "Rules": "PublishedRuleSet",
    "Holding": "ReservationUnit",
    "Payment": "PaymentAttempt",
}
NEW_COLUMNS = {
    ("Allocation", "number"): "line_id", ("Rules", "number"): "version",
    ("Payment", "provider"): "account", ("Payment", "started_at"): "made_at",
}  # fmt: skip
# What is kept in other words: see _assert_payments_are_attempts_and_refunds.
CHANGED = {"Payment": {"state", "refund_reference"}}
NEW_TABLES = (
    "alarm", "alarmmessage", "bankaccount", "calendarlink", "casenote", "checkoutpass", "delivery", "entries",
    "entriestile", "event", "inbox",
    "personrequest", "proposal", "refund", "rehearsal", "restriction", "ringorder", "salecheck", "salesample",
    "sandboxcall", "settlement", "settlementday", "settlementline", "staffaccount", "staffcampaign", "trailkey",
    "webhook",
)  # fmt: skip
VERBS = ("add", "change", "delete", "view")
# What changing a sale or a case allowed before 0043_roles. A group of any name keeps it.
PARTS = {"publish_sale", "run_sale", "approve_case", "settle_refund"}
NOW = timezone.now()
# What a row of the first version needs because of constraints, besides a value of each field's type.
VALUES: dict[str, dict[str, Any]] = {
    "Allocation": {"cohort": 3, "seed": "5eed"},
    "Claim": {"limit": 2},
    "DemoCharge": {"state": "paid", "refunded": True},
    "Notice": {"kind": "expired"},
    "Payment": {"state": "refunded", "settled_at": NOW, "refund_reference": "back"},
    "Sale": {
        "lobby_at": NOW, "closes_at": NOW + timedelta(hours=1),
        "state": "published", "published_at": NOW, "frozen_at": NOW, "secret": b"secret",
    },
}  # fmt: skip
# Foreign keys that stay empty: a line does not follow itself, and a state or another person would be needed.
EMPTY = {
    ("Allocation", "carries"), ("Allocation", "successor"), ("Case", "decided_by"), ("Case", "proposed_by"),
    ("Appeal", "decided_by"), ("Notice", "line"),
}  # fmt: skip
# What PostgreSQL says about our tables. Names that Django or PostgreSQL made do not count, because tables were renamed.
SCHEMA = {
    "columns": "SELECT concat_ws(' ', table_name, column_name, data_type, character_maximum_length, is_nullable, "
    "column_default, is_identity) FROM information_schema.columns WHERE table_schema = 'public'",
    "constraints": "SELECT concat_ws(' ', conrelid::regclass, pg_get_constraintdef(oid), "
    "CASE WHEN conname ~ '^(flashsale_|fk_)' THEN '' ELSE conname END) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace",
    "indexes": "SELECT regexp_replace(indexdef, 'INDEX (flashsale_|fk_)\\w+', 'INDEX') FROM pg_indexes "
    "WHERE schemaname = 'public'",
    "functions": "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
}
Row = dict[str, Any]


def test_released_migrations_are_never_edited() -> None:
    """Each file is listed in migrations.sha256. A new one is added to the list; an old line never changes."""
    folder = Path(migrations.__file__).parent
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("[0-9]*.py")}
    lines = [line.split() for line in HASHES.read_text(encoding="utf-8").splitlines()]
    listed = {name: digest for digest, name in lines}
    assert found == listed


@pytest.fixture
def empty_databases(django_db_blocker: DjangoDbBlocker, tmp_path: Path) -> Iterator[None]:
    """Two databases without tables, under the aliases `upgrade` and `fresh`."""
    with django_db_blocker.unblock(), _empty(DATABASE, tmp_path), _empty(FRESH, tmp_path):
        yield


@contextmanager
def _empty(alias: str, folder: Path) -> Iterator[None]:
    settings = {**connection.settings_dict, "NAME": str(folder / f"{alias}.sqlite3")}
    if connection.vendor == "postgresql":
        settings["NAME"] = f"{alias}_{os.getpid()}"
        _on_server(f"DROP DATABASE IF EXISTS {settings['NAME']}", f"CREATE DATABASE {settings['NAME']}")
    connections.databases[alias] = settings
    try:
        yield
    finally:
        made: Any = connections[alias]
        made.close()
        if connection.vendor == "postgresql":
            made.close_pool()
            _on_server(f"DROP DATABASE {settings['NAME']}")
        del connections[alias], connections.databases[alias]


def _on_server(*statements: str) -> None:
    """PostgreSQL makes and drops databases outside of transactions only."""
    with psycopg.connect(servers.books_url(), autocommit=True) as link:
        for statement in statements:
            link.execute(statement.encode())


@pytest.mark.slow
@pytest.mark.usefixtures("empty_databases")
def test_a_filled_database_of_the_first_version_loses_nothing_on_its_way_to_the_newest_and_back() -> None:
    """One way through all versions, because each way takes long. Rows of later versions are added on the way."""
    for app in ("auth", "admin", "sessions"):
        _migrate(app)
    _migrate_to(FIRST)
    tables = list(_apps(FIRST).get_models(include_auto_created=True))
    _fill(tables)
    group = Group.objects.using(DATABASE).create(name="reviewers")
    group.permissions.set(Permission.objects.using(DATABASE).filter(content_type__app_label="flashsale"))
    before = {model: _rows(model._meta.db_table) for model in tables}
    assert [model.__name__ for model, rows in before.items() if not rows] == []
    _migrate_to(BEFORE_SEALING)
    secrets = _sales_with_secrets()
    _migrate_to(BEFORE_ATTEMPTS)
    _payments_in_every_state()
    payments = _rows("flashsale_payment")
    _migrate_to(BEFORE_SETTLEMENT)
    found = [_triggers()]

    _migrate()

    found.append(_triggers())
    for model, rows in before.items():
        assert _with_these_keys(_kept(model, rows), _renamed(model, rows)) == _renamed(model, rows), model.__name__
    first = Campaign.objects.using(DATABASE).exclude(code="c")
    assert list(first.values_list("canon_version", flat=True)) == [1]
    _assert_constraints_are_those_of_the_models()
    _assert_permissions_follow_their_models(group)
    _assert_secrets_are_sealed(secrets)
    _assert_payments_are_attempts_and_refunds()
    _assert_events_say_how_all_stands()
    _assert_the_trail_is_append_only()
    _assert_one_step_from_nothing_leads_to_the_same()
    _migrate_to(BEFORE_SETTLEMENT)
    found.append(_triggers())
    assert found == [0, 2, 0], "the triggers of settlement lines come and go with their migration"
    _migrate_to(BEFORE_ATTEMPTS)
    assert _without_ids(_rows("flashsale_payment")) == _without_ids(payments)
    _migrate_to(BEFORE_SEALING)
    drawn = _model(BEFORE_SEALING, "Sale").filter(code__in=secrets)
    assert {sale.code: bytes(sale.secret) for sale in drawn} == secrets


def _assert_one_step_from_nothing_leads_to_the_same() -> None:
    call_command("migrate", database=FRESH, interactive=False, verbosity=0)
    ours = {name for app, name in MigrationRecorder(connections[FRESH]).applied_migrations() if app == "flashsale"}
    assert len(ours) > 40, "the replaced migrations count as applied, too"
    assert _schema(FRESH) == _schema(DATABASE)
    assert _roles(FRESH) == _roles(DATABASE)


def _sales_with_secrets() -> dict[str, bytes]:
    """Adds a sale that is not drawn, one that is, and a draft. Returns the secrets by code."""
    old = _apps(BEFORE_SEALING)
    made = {name: old.get_model(name).objects.using(DATABASE) for name in ("Campaign", "Sale", "PublishedRuleSet")}
    secrets = {code: code.encode().ljust(32, b".") for code in ("open", "drawn")}
    rules = made["PublishedRuleSet"].create(version=2, content={})
    common = VALUES["Sale"] | {"opens_at": NOW, "campaign": made["Campaign"].create(code="c"), "rules": rules}
    for code, secret in secrets.items():
        own = {"secret": secret, "commitment": commitment(secret).hex(), "frozen_at": NOW if code == "drawn" else None}
        made["Sale"].create(**common | own | {"code": code})
    made["Sale"].create(
        **common | {"code": "draft", "state": "draft", "secret": None, "published_at": None, "frozen_at": None}
    )
    return secrets


def _assert_secrets_are_sealed(secrets: dict[str, bytes]) -> None:
    sales = Sale.objects.using(DATABASE).in_bulk(field_name="code")
    assert {code: sales[code].draw_secret() for code in secrets} == secrets
    assert sales["open"].secret is None
    assert secrets["open"] not in bytes(sales["open"].sealed_secret)
    assert (sales["drawn"].sealed_secret, sales["draft"].sealed_secret, sales["draft"].secret) == (None, None, None)


def _payments_in_every_state() -> None:
    """Adds a payment of each state, once with a reservation that is held and once with one that is cancelled."""
    payments, first = _model(BEFORE_ATTEMPTS, "Payment"), _model(BEFORE_ATTEMPTS, "Reservation").get()
    for number, state in enumerate(PAYMENT_STATES):
        for cancelled in (False, True):
            first.pk, first.asked, first.number = uuid4(), f"{state}{cancelled}", 10 + 2 * number + cancelled
            times = {"confirmed_at": NOW, "ended_at": NOW} if cancelled else {}
            first.state = "cancelled" if cancelled else "held"
            first.confirmed_at, first.ended_at = times.get("confirmed_at"), times.get("ended_at")
            first.save(force_insert=True)
            payments.create(
                reservation_id=first.pk, reference=f"{first.pk}/3", provider="demo", method="qris", amount=5,
                state=state, started_at=NOW, settled_at=None if state == "started" else NOW,
                refund_reference="back" if state == "refunded" else "",
            )  # fmt: skip


def _assert_payments_are_attempts_and_refunds() -> None:
    every = PaymentAttempt.objects.using(DATABASE).prefetch_related("refunds").select_related("reservation")
    attempts = [a for a in every if a.reservation.asked.startswith(PAYMENT_STATES)]
    found = {(a.reservation.asked.removesuffix("True").removesuffix("False"), a.reservation.state): a for a in attempts}
    assert {key: str(a.payment_state) for key, a in found.items()} == {
        (state, kept): state for state in PAYMENT_STATES for kept in ("held", "cancelled")
    }
    assert {a.number for a in found.values()} == {3}
    assert {a.state for (state, kept), a in found.items() if state == "refunded"} == {"late", "paid"}
    refunded = found["refunded", "cancelled"].refunds.get()
    assert (refunded.reference, refunded.provider_id) == (found["refunded", "cancelled"].reference, "back")


def _assert_events_say_how_all_stands() -> None:
    events = Event.objects.using(DATABASE)
    published = Sale.objects.using(DATABASE).exclude(state="draft")
    of_sales = events.filter(reservation=None).values_list("sale", "type", "sequence")
    assert set(of_sales) == {(sale.pk, f"sale.{sale.state}", 1) for sale in published}
    rows = Reservation.objects.using(DATABASE).prefetch_related("attempts__refunds").exclude(state="abandoned")
    assert rows
    for row in rows:
        own = list(events.filter(reservation=row.pk).order_by("sequence"))
        assert [event.sequence for event in own] == list(range(1, len(own) + 1))
        assert {(event.channel_id, event.line_id) for event in own} == {(row.channel_id, row.allocation_id)}
        told = {subject_of(event.type, event.data): state_after(event.type, event.data) for event in own}
        wanted = {("reservation", ""): row.state} | {("payment", a.reference): a.state for a in row.attempts.all()}
        wanted |= {("refund", b.reference): b.state for a in row.attempts.all() for b in a.refunds.all()}
        assert {key: state for key, state in told.items() if key[0] not in {"case", "appeal"}} == wanted


class _SingleMigrations(MigrationLoader):
    """Without the step that replaces them."""

    def load_disk(self) -> None:
        super().load_disk()
        self.disk_migrations = {key: made for key, made in self.disk_migrations.items() if not made.replaces}


def _apps(name: str) -> Any:
    return (
        _SingleMigrations(connections[DATABASE]).project_state([("flashsale", name)]).apps.get_app_config("flashsale")
    )


def _model(at: str, name: str) -> Any:
    return _apps(at).get_model(name).objects.using(DATABASE)


def _without_ids(rows: list[Row]) -> list[Row]:
    return sorted(({k: v for k, v in row.items() if k != "id"} for row in rows), key=lambda row: row["reference"])


def _migrate(*app: str) -> None:
    call_command("migrate", *app, database=DATABASE, interactive=False, verbosity=0)


def _migrate_to(name: str) -> None:
    """Goes to a version, forwards or back. `manage.py migrate` cannot name one that is replaced."""
    executor: Any = MigrationExecutor(connections[DATABASE])
    executor.loader = _SingleMigrations(connections[DATABASE])
    plan = executor.migration_plan([("flashsale", name)])
    before = executor._create_project_state(with_applied_migrations=True)
    emit_pre_migrate_signal(0, interactive=False, db=DATABASE, apps=before.apps, plan=plan)
    after = executor.migrate([("flashsale", name)], plan=plan, state=before.clone())
    emit_post_migrate_signal(0, interactive=False, db=DATABASE, apps=after.apps, plan=plan)


def _schema(alias: str) -> dict[str, Any]:
    """By table: its columns, its constraints and indexes without names, and its triggers."""
    database = connections[alias]
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            return {key: sorted(row[0] for row in _read(cursor, query)) for key, query in SCHEMA.items()}
        found: dict[str, Any] = {}
        for table in sorted(database.introspection.table_names(cursor)):
            columns = database.introspection.get_table_description(cursor, table)
            constraints = database.introspection.get_constraints(cursor, table).values()
            found[table] = (
                sorted(tuple(map(str, column)) for column in columns),
                sorted(str(sorted(facts.items())) for facts in constraints),
                _read(cursor, f"SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{table}'"),  # noqa: S608
            )
        return found


def _read(cursor: Any, query: str) -> list[Any]:
    cursor.execute(query)
    return list(cursor.fetchall())


def _roles(alias: str) -> dict[str, set[str]]:
    groups = Group.objects.using(alias).filter(name__in=ROLES)
    return {group.name: set(group.permissions.values_list("codename", flat=True)) for group in groups}


def _fill(tables: list[Any]) -> None:
    """Adds a row to each table, with foreign keys to the rows that exist already."""
    users = tables[0]._meta.apps.get_model("auth", "User").objects.using(DATABASE)
    made: dict[str, Any] = {"User": users.create(username="alice")}
    waiting = [model for model in tables if not model._meta.auto_created]
    while waiting:
        model = next(model for model in waiting if _related(model) <= made.keys())
        waiting.remove(model)
        name, rows = model.__name__, model.objects.using(DATABASE)
        values = {field.name: _value(field, made) for field in model._meta.local_fields if _is_needed(name, field)}
        values |= VALUES.get(name, {})
        if name == "Allocation":
            made["second"] = rows.create(**values | {"number": 2, "code": "second"})
        if name == "Move":
            values["target"] = made["second"]
        made[name] = rows.create(**values)
    made["Allocation"].channels.add(made["Channel"])


def _related(model: Any) -> set[str]:
    return {
        f.related_model.__name__ for f in model._meta.local_fields if _is_needed(model.__name__, f) and f.is_relation
    }


def _is_needed(model: str, field: Any) -> bool:
    if field.is_relation:
        return (model, field.name) not in EMPTY
    return not (field.has_default() or field.null or field.blank)


def _value(field: Any, made: Row) -> Any:
    if field.is_relation:
        return made[field.related_model.__name__]
    kinds = {
        models.DateTimeField: NOW,
        models.IntegerField: 1,
        models.JSONField: {"orders": 3},
        models.BinaryField: b"x",
    }
    return next((value for kind, value in kinds.items() if isinstance(field, kind)), field.name[: field.max_length])


def _rows(table: str) -> list[Row]:
    with connections[DATABASE].cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608 - a table of ours
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def _renamed(model: Any, rows: list[Row]) -> list[Row]:
    """The rows of the first version under the names of the newest."""
    name = model.__name__
    return [{NEW_COLUMNS.get((name, c), c): row[c] for c in row if c not in CHANGED.get(name, ())} for row in rows]


def _kept(model: Any, rows: list[Row]) -> list[Row]:
    """What the newest version has of these rows: the same columns, without new ones."""
    name = model.__name__
    table = model._meta.db_table if model._meta.auto_created else _newest(name)._meta.db_table
    columns = [NEW_COLUMNS.get((name, c), c) for c in rows[0] if c not in CHANGED.get(name, ())]
    return [{column: row[column] for column in columns} for row in _rows(table)]


def _with_these_keys(rows: list[Row], wanted: list[Row]) -> list[Row]:
    """Those of the rows that have the primary key, the first column, of a wanted one."""
    keys = {next(iter(row.values())) for row in wanted}
    return [row for row in rows if next(iter(row.values())) in keys]


def _newest(name: str) -> Any:
    return apps.get_model("flashsale", NEW_NAMES.get(name, name))


def _assert_constraints_are_those_of_the_models() -> None:
    upgraded = connections[DATABASE]
    for model in apps.get_app_config("flashsale").get_models():
        table = model._meta.db_table
        with upgraded.cursor() as cursor:
            found = upgraded.introspection.get_constraints(cursor, table)
        wanted = {c.name for c in (*model._meta.constraints, *model._meta.indexes)} - {TRIGGER, LINES_TRIGGER}
        ours = {name for name, facts in found.items() if _has_our_name(name, facts)}
        assert ours == wanted, table


def _has_our_name(name: str, facts: Any) -> bool:
    """Not made by Django or the database: those names begin with the table's or are a type's check."""
    return not name.startswith(("flashsale_", "__unnamed", "fk_")) and not facts["primary_key"]


def _assert_permissions_follow_their_models(group: Group) -> None:
    """A group may do the same as before, and no permission of an old name is left."""
    names = {model._meta.model_name for model in apps.get_app_config("flashsale").get_models()}
    wanted = {f"{verb}_{name}" for verb in VERBS for name in names} | PARTS
    ours = Permission.objects.using(DATABASE).filter(content_type__app_label="flashsale")
    found = [(p.codename, p.content_type.model) for p in ours.select_related("content_type")]
    # Rights that are no verb of Django's on a table.
    own = {"export_contact", "export_reservation"}
    assert sorted(found) == sorted((codename, codename.partition("_")[2]) for codename in wanted | own)
    # Those who decide cases fill the lists of the review (0049_list_rights).
    fresh = {f"{verb}_{name}" for verb in VERBS for name in NEW_TABLES} | {"delete_listedvalue"}
    assert set(group.permissions.values_list("codename", flat=True)) == wanted - fresh
    labels = set(ours.filter(codename__startswith="add_").values_list("name", flat=True))
    assert {"Can add limit slot", "Can add viewed case", "Can add reserved unit"} <= labels
    assert labels & {"Can add claim", "Can add opened case", "Can add holding"} == set()


def _assert_the_trail_is_append_only() -> None:
    trail = Record.objects.using(DATABASE)
    for act in (lambda: trail.update(why="changed"), lambda: trail.all().delete()):
        with pytest.raises(DatabaseError, match=TRIGGER), transaction.atomic(using=DATABASE):
            act()
    row = trail.get()
    row.position, row.previous, row.hash = row.position + 1, row.hash, "another"
    row.save(using=DATABASE, force_insert=True)
    assert trail.count() == 2


def _triggers() -> int:
    """How many triggers the table of settlement lines has."""
    table = "pg_trigger" if connection.vendor == "postgresql" else "sqlite_master"
    column = "tgname" if connection.vendor == "postgresql" else "name"
    with connections[DATABASE].cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table} WHERE {column} LIKE '{LINES_TRIGGER}%%'")  # noqa: S608
        return int(cursor.fetchone()[0])
