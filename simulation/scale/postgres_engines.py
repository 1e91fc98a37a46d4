"""A PostgreSQL with a synchronous standby, and a PgBouncer, each behind two doors: what `manage.py scale` plays."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from django.core.management import call_command

from simulation import pgbouncer_server
from simulation.pgbouncer_server import PgBouncer
from simulation.postgres_server import PostgresServer
from simulation.processes import free_port
from simulation.redis_server import RedisServer
from simulation.scale import postgres_faults, selling
from simulation.scale.postgres_pair import PostgresPair
from simulation.scale.rounds import Fault, NotPossible, Round

DOORS = 2
# Where the two servers of the pair listen, for the process that starts them.
PORTS = "FLASHSALE_SCALE_PORTS"


def pair_environment(folder: Path) -> dict[str, str]:
    """The settings by which this process and the doors find the stores; DATABASE_URL names both servers of the pair."""
    ports = [free_port(), free_port()]
    return _environment(folder, PostgresPair.url_of_ports(*ports)) | {PORTS: " ".join(map(str, ports))}


def pgbouncer_environment(folder: Path) -> dict[str, str]:
    """The same for a PostgreSQL. The doors go through a PgBouncer, and this process does not."""
    return _environment(folder, PostgresServer(folder=folder / "postgres", port=free_port()).url)


def _environment(folder: Path, url: str) -> dict[str, str]:
    redis = f"redis://127.0.0.1:{free_port()}"
    return {
        "DATABASE_URL": url, "REDIS_URL": f"{redis}/0", "LIMITS_URL": f"{redis}/1", "BROKER_URL": f"{redis}/2",
        "FLASHSALE_VAR": str(folder / "var"), "FLASHSALE_DB_POOL": "4",
    }  # fmt: skip


def play_pair(
    folder: Path, *, rounds: int, seed: int, named: Sequence[str], size: int, claim_s: int
) -> Iterator[Round]:
    """Plays the faults of the pair whose name has one of these texts. Raises ServerNotReady."""
    with ExitStack() as stack:
        pair = stack.enter_context(PostgresPair(folder, ports=[int(port) for port in os.environ[PORTS].split()]))
        faults = postgres_faults.faults(pair)
        yield from _play(stack, faults, folder, {}, rounds=rounds, seed=seed, named=named, size=size, claim_s=claim_s)


def play_pgbouncer(
    folder: Path, *, rounds: int, seed: int, named: Sequence[str], size: int, claim_s: int
) -> Iterator[Round]:
    """Plays the faults of PgBouncer whose name has one of these texts. Raises ServerNotReady, NotPossible."""
    if pgbouncer_server.find_program() is None:
        raise NotPossible("PgBouncer is not installed: apt-get install pgbouncer")
    with ExitStack() as stack:
        url = os.environ["DATABASE_URL"]
        stack.enter_context(PostgresServer(folder=folder / "postgres", port=selling.port_of(url)))
        bouncer = stack.enter_context(PgBouncer(folder=folder / "pgbouncer", port=free_port(), url=url))
        env = {"DATABASE_URL": bouncer.url(), "FLASHSALE_DB_POOLER": "transaction"}
        faults = postgres_faults.pgbouncer_faults(bouncer)
        yield from _play(stack, faults, folder, env, rounds=rounds, seed=seed, named=named, size=size, claim_s=claim_s)


def _play(
    stack: ExitStack,
    faults: Sequence[Fault],
    folder: Path,
    env: Mapping[str, str],
    *,
    rounds: int,
    seed: int,
    named: Sequence[str],
    size: int,
    claim_s: int,
) -> Iterator[Round]:
    """Plays these faults at two doors with a Redis of their own. `env` is for the doors."""
    stack.enter_context(RedisServer(folder=folder / "redis", port=selling.port_of(os.environ["REDIS_URL"])))
    call_command("migrate", verbosity=0, interactive=False)
    addresses = stack.enter_context(selling.doors(DOORS, folder=folder, env=env))
    yield from selling.play_faults(faults, addresses, named=named, rounds=rounds, seed=seed, size=size, claim_s=claim_s)
