"""A Redis with Sentinel, and a Redis Cluster, each behind two real doors: what `manage.py scale` plays with them."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from config import redis_address
from simulation.postgres_server import PostgresServer
from simulation.processes import free_port
from simulation.redis_server import RedisServer
from simulation.redis_topology import Cluster, Replicated
from simulation.scale import redis_faults, selling
from simulation.scale.rounds import Fault, Round

DOORS = 2


def sentinel_environment(folder: Path) -> dict[str, str]:
    """The settings by which this process and the doors find the stores; Redis has three sentinels."""
    return _environment(folder, Replicated(folder, public=[free_port() for _ in range(3)]).url)


def cluster_environment(folder: Path) -> dict[str, str]:
    """The same for a Redis Cluster."""
    return _environment(folder, Cluster(folder, public=[free_port() for _ in range(3)]).url)


def _environment(folder: Path, url: str) -> dict[str, str]:
    # Celery and the limits do not know a Redis Cluster. No worker runs here.
    other = f"redis://127.0.0.1:{free_port()}/0"
    return {
        "DATABASE_URL": PostgresServer(folder=folder / "postgres", port=free_port()).url, "REDIS_URL": url,
        "LIMITS_URL": other, "BROKER_URL": other, "FLASHSALE_VAR": str(folder / "var"), "FLASHSALE_DB_POOL": "4",
    }  # fmt: skip


@contextmanager
def _sentinel(folder: Path, ports: Sequence[int]) -> Iterator[Sequence[Fault]]:
    with Replicated(folder, public=ports) as servers:
        yield redis_faults.sentinel_faults(servers)


@contextmanager
def _cluster(folder: Path, ports: Sequence[int]) -> Iterator[Sequence[Fault]]:
    with Cluster(folder, public=ports) as cluster:
        yield redis_faults.cluster_faults(cluster)


def play_sentinel(
    folder: Path, *, rounds: int, seed: int, named: Sequence[str], size: int, claim_s: int
) -> Iterator[Round]:
    """Plays the faults of a master with Sentinel whose name has one of these texts. Raises ServerNotReady."""
    yield from _play(_sentinel, folder, rounds=rounds, seed=seed, named=named, size=size, claim_s=claim_s)


def play_cluster(
    folder: Path, *, rounds: int, seed: int, named: Sequence[str], size: int, claim_s: int
) -> Iterator[Round]:
    """Plays the faults of a Redis Cluster whose name has one of these texts. Raises ServerNotReady."""
    yield from _play(_cluster, folder, rounds=rounds, seed=seed, named=named, size=size, claim_s=claim_s)


def _play(
    start: Callable[[Path, Sequence[int]], AbstractContextManager[Sequence[Fault]]],
    folder: Path,
    *,
    rounds: int,
    seed: int,
    named: Sequence[str],
    size: int,
    claim_s: int,
) -> Iterator[Round]:
    with ExitStack() as stack:
        postgres, limits = (selling.port_of(os.environ[name]) for name in ("DATABASE_URL", "LIMITS_URL"))
        stack.enter_context(PostgresServer(folder=folder / "postgres", port=postgres))
        stack.enter_context(RedisServer(folder=folder / "limits", port=limits))
        ports = [port for _, port in redis_address.parse(settings.REDIS_URL).hosts]
        faults = stack.enter_context(start(folder / "redis", ports))
        call_command("migrate", verbosity=0, interactive=False)
        addresses = stack.enter_context(selling.doors(DOORS, folder=folder, env={}))
        yield from selling.play_faults(
            faults, addresses, named=named, rounds=rounds, seed=seed, size=size, claim_s=claim_s
        )
