"""The checks of `manage.py doctor`: what was found, what is expected, and the command that fixes a problem."""

import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib import metadata
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from flashsale.gate import bridge
from flashsale.gate.client import GateDown, gate, wall_ms
from flashsale.life import waiting_money
from flashsale.life.measure_clock import postgresql_ms
from flashsale.management.database_roles import dangers
from flashsale.management.doctor import pooler, postgresql, redis, staff, web, work
from flashsale.management.doctor.check import Check
from flashsale.models import Sale
from flashsale.models.draw_secret import SecretUnreadable
from flashsale.providers import messages, payments
from flashsale.providers.messages import http
from flashsale.providers.payments import account_settings
from flashsale.rules.states import SaleState

FREE_MB = 500
# People do not notice a smaller difference. Clocks that NTP sets differ by less.
CLOCK_DIFFERENCE_MAX_MS = 500
# Providers judge deadlines and signatures by their own clocks; the guard of a method is two minutes.
PROVIDER_CLOCK_MAX = timedelta(seconds=30)
PYTHON = (3, 11)
SQLITE = (3, 35)


def run_checks(*, processes: int = 0, send_mail: str = "") -> list[Check]:
    """Runs all checks. They change nothing, and send no mail unless `send_mail` is an address.

    `processes` is how many processes of doors and web run in all; 0: not known.
    """
    also = (partial(postgresql.postgresql, processes), partial(work.mail, send_mail)) if _CHECKS else ()
    found = [check() for check in (*_CHECKS, *also)]
    return [row for rows in found for row in (rows if isinstance(rows, list) else [rows])] + _payments()


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check(
        "Python", sys.version_info[:2] >= PYTHON, found, "3.11 or newer", "make run PYTHON=/path/to/python3.11"
    )


def _packages() -> Check:
    pinned = _pinned(Path(settings.BASE_DIR) / "requirements.txt")
    wrong = []
    for name, version in pinned.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # the package is for another platform, or `missing` has it
        if found != version:
            wrong.append(f"{name} {found}")
    missing = [name for name in ("django", "granian", "celery", "redis") if not _is_installed(name)]
    problems = ", ".join([*(f"{name} missing" for name in missing), *wrong])
    found = problems or f"{len(pinned)} as locked"
    return Check("packages", not problems, found, "the versions of requirements.txt", "make run")


def _pinned(path: Path) -> dict[str, str]:
    """The pinned version by package; empty if there is no file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    pairs = (line.split(" ")[0].partition("==") for line in lines if "==" in line and not line.startswith((" ", "#")))
    return {name.partition("[")[0]: version for name, _, version in pairs}


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _mode() -> Check:
    """Whether the servers may start: nothing of a demo serves other people."""
    signs = settings.FLASHSALE_SIGNS_OF_PRODUCTION
    found = [*settings.FLASHSALE_REFUSALS]
    if settings.FLASHSALE_DEMO and not found:
        found = ["a demo, for this machine only"]
    kind = f"production: {signs[0]}" if signs else "this machine only: FLASHSALE_HOSTS names no other"
    return Check(
        "mode",
        not settings.FLASHSALE_REFUSALS,
        "\n".join(found or [kind]),
        "in production no FLASHSALE_DEMO, no FLASHSALE_DEBUG, a payment provider of your own",
        "change the settings that are named; until then no server starts",
    )


def _codes() -> Check:
    """The senders of one-time codes: their settings, and whether their gateways can be reached. Sends nothing."""
    names = messages.senders_to_phones()
    found, unreachable = f"to phones: {', then '.join(names) or 'none'}; to mailboxes: email", []
    urls = {"whatsapp": settings.FLASHSALE_WHATSAPP_URL, "sms": settings.FLASHSALE_SMS_URL}
    for name, url in (urls | {"webhook": settings.FLASHSALE_CODE_WEBHOOK}).items():
        if name in names and url and not settings.FLASHSALE_CODE_PROBLEMS:
            try:
                bridge.run(http.reach(url))
            except http.NotConnected as error:
                unreachable.append(f"{name}: no connection to {urlsplit(url).hostname} ({error})")
    return Check(
        "codes",
        not settings.FLASHSALE_CODE_PROBLEMS and not unreachable,
        "\n".join([found, *settings.FLASHSALE_CODE_PROBLEMS, *unreachable]),
        "senders whose gateways can be reached, with their keys",
        "set what is named (docs/operate.md, Codes)",
    )


def redis_gate() -> Check:
    expected, fix = (
        f"an answer from {_without_password(settings.REDIS_URL)}",
        "make run   (or set REDIS_URL); a Redis that does not start with its files: python manage.py gate_file",
    )
    try:
        run_id = bridge.run(_run_id())
    except GateDown as error:
        return Check("Redis (gate)", False, f"no answer: {error}", expected, fix)
    return Check("Redis (gate)", True, f"answers (run {run_id[:8]}), {_redis_tls()}", expected)


def _redis_tls() -> str:
    """Says whether the connection to Redis uses TLS, and whether it checks the certificate."""
    if not settings.REDIS_URL.startswith(("rediss:", "rediss+")):
        return "no TLS"
    options = dict(parse_qsl(urlsplit(settings.REDIS_URL).query))
    checked = options.get("ssl_cert_reqs", "required") == "required"
    named = options.get("ssl_check_hostname", "true").lower() in {"true", "1", "yes"}
    return "TLS" if checked and named else "TLS that accepts other servers"


async def _run_id() -> str:
    return await gate().run_id()


def _without_password(url: str) -> str:
    head, _, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if head else url


def database() -> Check:
    expected, fix = "all migrations applied", "python manage.py migrate"
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, ImproperlyConfigured) as error:
        return Check("database (books)", False, f"no answer: {_reason(error)}", expected, "set DATABASE_URL")
    found = f"{len(missing)} migrations missing" if missing else f"all applied, {connection.vendor}{_tls()}"
    return Check("database (books)", not missing, found, expected, fix)


def _reason(error: Exception) -> str:
    """Why there is no connection. The pool says only that it waited, so this tries once more without it."""
    if connection.vendor != "postgresql":
        return type(error).__name__
    try:
        psycopg.connect(**connection.get_connection_params()).close()
    except psycopg.Error as cause:
        return str(cause).strip().splitlines()[-1]
    return type(error).__name__


def _tls() -> str:
    """Says whether this connection to PostgreSQL uses TLS."""
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        if not cursor.connection.pgconn.ssl_in_use:
            return ", no TLS"
    checked = connection.settings_dict["OPTIONS"].get("sslmode") == "verify-full"
    return ", TLS" if checked else ", TLS that accepts other servers: set sslmode=verify-full"


def _database_role() -> Check:
    """Whether the role of this process could drop the triggers of the audit trail."""
    expected, fix = "no right to change tables or the audit trail", "see docs/operate.md, Roles of PostgreSQL"
    if connection.vendor != "postgresql":
        return Check("database role", True, "SQLite has no roles", expected)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            role = cursor.fetchone()[0]
        found = dangers(role)
    except DatabaseError:
        return Check("database role", False, "no answer", expected, "set DATABASE_URL")
    ok = not found or settings.FLASHSALE_DEMO
    return Check("database role", ok, f"{role} {'; '.join(found) or 'has the rights of the app'}", expected, fix)


def _clocks() -> Check:
    """Compares the clocks of Redis and PostgreSQL with the clock of this machine.

    Sales and deadlines run on the clock of Redis (rules/wall_clock.py). The admin, the sessions of staff and the logs
    use the clocks of their machines.
    """
    clocks = {"Redis": _redis_ms} | ({"PostgreSQL": postgresql_ms} if connection.vendor == "postgresql" else {})
    differences, silent = {}, []
    for name, read_ms in clocks.items():
        try:
            differences[name] = _difference_ms(read_ms)
        except (GateDown, DatabaseError):
            silent.append(name)
    found = [f"{name} {ms:+,d} ms" for name, ms in differences.items()] + [f"{name} no answer" for name in silent]
    wrong = any(abs(ms) > CLOCK_DIFFERENCE_MAX_MS for ms in differences.values())
    return Check(
        "clocks",
        not wrong and not silent,
        ", ".join(found),
        f"within {CLOCK_DIFFERENCE_MAX_MS} ms of this machine's",
        "chronyc makestep   (on the machine that is wrong; or timedatectl set-ntp true)"
        if wrong
        else "start the server that does not answer",
    )


def _difference_ms(read_ms: Callable[[], int]) -> int:
    """How far that clock is ahead of ours. The error is at most half of the time that the answer takes."""
    read_ms()  # the first call also connects, which would make the measurement less exact
    before = time.time()
    there = read_ms()
    return round(there - (before + time.time()) / 2 * 1000)


def _redis_ms() -> int:
    return bridge.run(wall_ms())


def _payments() -> list[Check]:
    """One check for each payment account: its keys, its host, its clock, and whether it can reach us."""
    return [_payment_account(account) for account in payments.configured.values()]


def missing_accounts() -> list[Check]:
    """A failed check if money is on the way at accounts that the settings do not have; no check otherwise."""
    try:
        missing = waiting_money.missing_accounts()
    except DatabaseError:
        return []  # the check of PostgreSQL says why
    if not missing:
        return []
    found = ", ".join(f"{account} ({count} payments, refunds and notifications)" for account, count in missing.items())
    fix = "add these accounts to FLASHSALE_PAYMENT_PROVIDER again until no money waits there (docs/payments.md)"
    return [
        Check("payments: missing", False, found, "an account in the settings for all money that is on the way", fix)
    ]


def _payment_account(account: payments.PaymentProvider) -> Check:
    name, expected = f"payments: {account.account}", "a key that the provider accepts, live hosts, equal clocks"
    before = datetime.now(UTC)
    try:
        checked = bridge.run(account.check())
    except payments.ProviderDown as error:
        checked = payments.Checked("", [f"does not answer: {str(error) or type(error).__name__}"])
    except Exception as error:  # noqa: BLE001 - a fault in the class of a shop must not hide the other checks
        checked = payments.Checked("", [f"its check() fails: {error!r}"])
    after = datetime.now(UTC)
    problems, fixes = [*checked.problems], []
    if problems:
        fixes.append("check FLASHSALE_PAYMENT_KEYS and FLASHSALE_PAYMENT_HOSTS (docs/payments.md)")
    if checked.clock:
        # The provider's clock has whole seconds, and the answer may be as old as the call was long.
        off = max(before - checked.clock - timedelta(seconds=1), checked.clock - after, timedelta(0))
        if off > PROVIDER_CLOCK_MAX:
            problems.append(f"its clock differs by {off.total_seconds():.0f} s")
            fixes.append("timedatectl set-ntp true")
    if settings.FLASHSALE_SIGNS_OF_PRODUCTION:
        address = account_settings.notification_address(account.account)
        if not account_settings.is_public(address):
            problems.append(f"it cannot reach {address}")
            fixes.append("set FLASHSALE_URL to the https address of the site, on port 443")
        if account_settings.mode_of(account.account) == "sandbox":
            problems.append("a sandbox takes no money")
            fixes.append(f"remove {account.account}:sandbox from FLASHSALE_PAYMENT_HOSTS")
    found = "; ".join(filter(None, [checked.where, *problems]))
    return Check(name, not problems, found, expected, "; ".join(fixes))


def _payment_names() -> Check:
    """Whether the accounts and methods that campaigns name are there, because an account may go after a publication."""
    expected = "each campaign and channel names accounts and methods of this server"
    running = Sale.objects.filter(state=SaleState.PUBLISHED, closes_at__gt=datetime.now(UTC))
    own, inherited = "allocations__channels__payment_accounts", "campaign__payment_accounts"
    try:
        rows = sorted(set(running.values_list("code", own, inherited)))
    except DatabaseError as error:
        return Check("payment names", False, f"no answer: {type(error).__name__}", expected, "see the database")
    found = {
        f"{sale}: {problem}" for sale, *names in rows for one in names for problem in payments.names_problems(one or "")
    }
    fix = "add what is missing to FLASHSALE_PAYMENT_PROVIDER or FLASHSALE_PAYMENT_METHODS (docs/payments.md)"
    return Check("payment names", not found, "; ".join(sorted(found)) or f"{len(rows)} checked", expected, fix)


def _sqlite() -> Check:
    found = sqlite3.sqlite_version
    new_enough = tuple(map(int, found.split(".")[:2])) >= SQLITE
    return Check("SQLite", new_enough or connection.vendor != "sqlite", found, "3.35 or newer", "set DATABASE_URL")


def _disk() -> Check:
    free = shutil.disk_usage(settings.VAR_DIR).free // 2**20
    return Check(
        "disk", free >= FREE_MB, f"{free:,} MB free", f"{FREE_MB} MB", f"free some space in {settings.VAR_DIR}"
    )


def _secrets() -> Check:
    path = Path(settings.VAR_DIR) / "secrets.env"
    if not path.exists():
        return Check("secrets", True, "in the environment", "private")
    mode = path.stat().st_mode & 0o777
    return Check("secrets", not mode & 0o077, f"mode {mode:04o}", "mode 0600", f"chmod 600 {path}")


def draw_secrets() -> Check:
    """Whether this machine's key decrypts the secrets of the sales that are published and not drawn yet."""
    unreadable, count = [], 0
    expected = "FLASHSALE_CONTACT_KEY decrypts the secret of each sale that is not drawn"
    try:
        for sale in Sale.objects.filter(sealed_secret__isnull=False):
            count += 1
            try:
                sale.draw_secret()
            except SecretUnreadable:
                unreadable.append(sale.code)
    except (DatabaseError, ImproperlyConfigured) as error:
        return Check("draws", False, f"no answer: {type(error).__name__}", expected, "see the check of the database")
    found = f"cannot decrypt {', '.join(unreadable)}" if unreadable else f"{count} sealed"
    fix = "set the FLASHSALE_CONTACT_KEY with which these sales were published, on every server"
    return Check("draws", not unreadable, found, expected, fix)


def _loopback() -> Check:
    """The servers of a demo listen on the loopback interface."""
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", 0))
        except OSError as error:
            return Check("loopback", False, str(error), "127.0.0.1 can be bound", "ip link set lo up")
    return Check("loopback", True, "127.0.0.1", "127.0.0.1 can be bound")


_CHECKS: tuple[Callable[[], Check | list[Check]], ...] = (
    _python,
    _packages,
    _loopback,
    _disk,
    _secrets,
    _mode,
    _codes,
    _sqlite,
    database,
    draw_secrets,
    _payment_names,
    _database_role,
    pooler.pooler,
    redis_gate,
    _clocks,
    redis.redis_servers,
    redis.redis_rights,
    web.proxies,
    web.tls,
    web.static_files,
    web.open_files,
    web.time_zones,
    web.private_files,
    work.celery,
    work.backups,
    work.relays,
    missing_accounts,
    staff.staff,
)
