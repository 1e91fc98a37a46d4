"""PostgreSQL: does a commit survive a power cut, does its standby follow, and are there enough connections."""

from collections.abc import Iterator

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection

from flashsale.management.doctor.check import Check, in_production

OLDEST = 140000
USED_MAX = 0.8
# Connections that commands, backups and people need besides the servers.
SPARE = 10
NAMES = ("server_version", "max_connections", "superuser_reserved_connections", "synchronous_standby_names")
# What each setting must not be, and why.
UNSAFE = {
    ("fsync", "off"): "a power cut damages the database",
    ("full_page_writes", "off"): "a power cut damages the database",
    ("synchronous_commit", "off"): "a power cut loses orders that were acknowledged",
}
EXPECTED = "14 or newer, commits that survive a power cut, and connections for all processes"


def postgresql(processes: int = 0) -> Check:
    """The version, the settings that matter, and the connections that so many processes of doors and web may open."""
    name = "PostgreSQL"
    if connection.vendor != "postgresql":
        found = Check(name, False, "SQLite", "PostgreSQL", "set DATABASE_URL")
        return in_production(found)
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)",
                [[*NAMES, *(key for key, _ in UNSAFE)]],
            )
            values = dict(cursor.fetchall())
            cursor.execute("SELECT count(*) FROM pg_stat_replication")
            standbys = int(cursor.fetchone()[0])
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
            used = cursor.fetchone()[0]
            version = cursor.connection.info.server_version
    except (DatabaseError, ImproperlyConfigured) as error:
        return Check(name, False, f"no answer: {type(error).__name__}", EXPECTED, "set DATABASE_URL")
    most = int(values["max_connections"]) - int(values["superuser_reserved_connections"])
    problems = dict(_problems(values, version=version, used=used, most=most, processes=processes))
    if values["synchronous_standby_names"] and not standbys:
        text = "synchronous_standby_names is set, and no standby is connected: no commit ends"
        problems[text] = "start the standby; if it is gone: ALTER SYSTEM RESET synchronous_standby_names, and reload"
    kind = "synchronous" if values["synchronous_standby_names"] else "asynchronous: a promotion may lose orders"
    followed = f", {standbys} standby ({kind})" if standbys else ""
    found_text = "\n".join([f"{values['server_version']}, {used} of {most} connections{followed}", *problems])
    return in_production(Check(name, not problems, found_text, EXPECTED, "\n".join(dict.fromkeys(problems.values()))))


def _problems(
    values: dict[str, str], *, version: int, used: int, most: int, processes: int
) -> Iterator[tuple[str, str]]:
    """What is wrong, and the command that fixes it."""
    if version < OLDEST:
        yield f"version {version // 10000}", "upgrade PostgreSQL"
    for (setting, value), why in UNSAFE.items():
        if values[setting] == value:
            yield f"{setting} is {value}: {why}", f"ALTER SYSTEM SET {setting} = on; SELECT pg_reload_conf()"
    if used > USED_MAX * most:
        yield "few connections are left", "ALTER SYSTEM SET max_connections = 300, and restart PostgreSQL"
    pool = settings.DATABASES["default"]["OPTIONS"].get("pool", {}).get("max_size", 1)
    needed, reserved = processes * pool + SPARE, int(values["superuser_reserved_connections"])
    if processes and needed > most:
        yield (
            f"{processes} processes × {pool} (FLASHSALE_DB_POOL) + {SPARE} need {needed} connections",
            f"ALTER SYSTEM SET max_connections = {needed + reserved}, and restart; or a smaller FLASHSALE_DB_POOL",
        )
