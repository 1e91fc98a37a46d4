"""Faults of a PostgreSQL with a synchronous standby, and of a PgBouncer before it."""

import time
from collections.abc import Sequence

from simulation.pgbouncer_server import PgBouncer
from simulation.scale.postgres_pair import PostgresPair
from simulation.scale.rounds import Fault

ENGINE = "PostgreSQL"
# For how long a server is away that comes back by itself, in seconds.
AWAY_S = 3.0


def faults(pair: PostgresPair) -> Sequence[Fault]:
    """The faults of this pair. After each one, the pair has a primary and a synchronous standby again."""

    def killed() -> None:
        pair.primary.kill()
        pair.fail_over()
        pair.repair()

    def switched_over() -> None:
        pair.primary.stop()
        pair.fail_over()
        pair.repair()

    def restarted() -> None:
        pair.primary.kill()
        time.sleep(AWAY_S)
        pair.primary.start()

    def standby_away() -> None:
        pair.lose_standby()
        time.sleep(AWAY_S)
        pair.regain_standby()

    def read_only() -> None:
        reload = "SELECT pg_reload_conf()"
        pair.primary.execute("ALTER SYSTEM SET default_transaction_read_only = on", reload)
        time.sleep(AWAY_S)
        pair.primary.execute(
            "SET default_transaction_read_only = off", "ALTER SYSTEM RESET default_transaction_read_only", reload
        )

    return [
        Fault(ENGINE, "primary killed, standby promoted", killed),
        Fault(ENGINE, "primary stopped in order, standby promoted", switched_over),
        Fault(ENGINE, "primary killed, and started again", restarted),
        Fault(ENGINE, "standby killed: commits wait for it", standby_away),
        Fault(ENGINE, "primary made read-only for a while", read_only),
    ]


def pgbouncer_faults(bouncer: PgBouncer) -> Sequence[Fault]:
    """The faults of a PgBouncer. It runs again after each one."""

    def killed() -> None:
        bouncer.kill()
        time.sleep(AWAY_S)
        bouncer.start()

    return [Fault("PgBouncer", "killed, and started again", killed)]
