"""A process with the settings of the product that uses each connection once (test_tls.py).

POOL_S says how many seconds the pool tries to connect; without it, as many as in production.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import django
import uvloop

django.setup()

from django.core.cache import caches  # noqa: E402 - only after the set-up
from django.db import connection  # noqa: E402

from config.celery import app  # noqa: E402
from flashsale.gate.client import gate  # noqa: E402
from flashsale.management import doctor_checks  # noqa: E402

LONG = "x" * 300_000  # many records of TLS


async def _gate() -> str:
    echoed = await asyncio.gather(*(gate().run_command("ECHO", f"{number}{LONG}") for number in range(8)))
    assert [reply.decode() for reply in echoed] == [f"{number}{LONG}" for number in range(8)]
    assert await gate().redis.set("tls", "1")
    await gate().close()
    return "ok"


def _limits() -> str:
    caches["limits"].set("tls", 1)
    return "ok" if caches["limits"].get("tls") == 1 else "no answer"


def _broker() -> str:
    with app.connection_for_write(connect_timeout=30) as link:
        return "ok" if link.default_channel.client.ping() else "no answer"


def _books() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        return "ok" if cursor.fetchone()[0] else "no TLS"


def _tried(call: Callable[[], Any]) -> str:
    try:
        return str(call())
    except Exception as error:  # noqa: BLE001 - the text is the result
        return f"{type(error).__name__}: {error}"


def main() -> None:
    """Prints the result of each connection, and what doctor says."""
    if "POOL_S" in os.environ:
        connection.settings_dict["OPTIONS"]["pool"]["timeout"] = float(os.environ["POOL_S"])
    results = {
        "gate": _tried(lambda: asyncio.run(_gate())),
        "gate on uvloop": _tried(lambda: uvloop.run(_gate())),
        "limits": _tried(_limits),
        "broker": _tried(_broker),
        "books": _tried(_books),
        "doctor of Redis": _tried(lambda: doctor_checks.redis_gate().found),
        "doctor of PostgreSQL": _tried(lambda: doctor_checks.database().found),
    }
    sys.stdout.write(json.dumps(results) + "\n")


main()
