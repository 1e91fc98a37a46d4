"""Hints that notifications of payment providers wait in PostgreSQL.

A lost hint costs seconds, because a sweep finds the rows.
"""

from flashsale.gate.client import gate
from flashsale.gate.keys import NOTIFICATIONS

TAKE_MAX = 16


async def hint(account: str) -> None:
    """Wakes a process that reads the notifications of this account. Raises GateDown."""
    await gate().run_command("SADD", NOTIFICATIONS, account)


async def take_hints() -> list[str]:
    """The accounts with new notifications, each given to one process. Raises GateDown."""
    return [account.decode() for account in await gate().run_command("SPOP", NOTIFICATIONS, TAKE_MAX)]
