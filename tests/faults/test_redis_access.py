"""TLS and the users of docs/operate.md with Sentinel and with a Redis Cluster: a sale outlives its master's loss."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlencode

import pytest
from django.core.cache import caches
from pytest_django import Settings

from flashsale.gate import bridge, client
from flashsale.gate.client import GateDown, wall_ms
from flashsale.management.doctor.redis import redis_rights, redis_servers
from flashsale.rules.outcomes import Outcome
from simulation.processes import ServerNotReady
from simulation.redis_access import RedisAccess
from simulation.redis_topology import Cluster, Replicated, wait_for
from tests.acl import documented
from tests.faults.steps import NAMES, called, check, close_gate, halfway, recover, refused_by_the_gate
from tests.tls import Authority

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
Servers = TypeVar("Servers", Replicated, Cluster)
USERS = ("flashsale", "flashsale_limits", "flashsale_replica", "flashsale_sentinel")


@pytest.fixture
def access(tmp_path: Path, own_gate: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisAccess]:
    """A certificate that names a host and no address, and the documented users."""
    # A busy machine may need long to open a connection with TLS to each sentinel.
    monkeypatch.setattr(client, "SOCKET_TIMEOUT_S", 10.0)
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 10.0)
    authority = Authority(tmp_path / "ca", "the shop")
    made = authority.certificate("localhost", client=True)  # the nodes of a cluster check each other
    users = ["user default off", "user admin on >word ~* &* +@all"]
    users += [" ".join(["user", *documented(user)[2:]]) for user in USERS]
    yield RedisAccess(
        ca=authority.ca, cert=made.cert, key=made.key, host="localhost", users=users, admin=("admin", "word"),
        replica=("flashsale_replica", "word"), watcher=("flashsale_sentinel", "word"), sentinel_password="of-sentinels",
    )  # fmt: skip
    caches["limits"].close()
    bridge.run(close_gate())


def started(servers: Servers) -> Servers:
    """Starts the servers. Skips the test if the program was built without TLS."""
    try:
        return servers.__enter__()
    except ServerNotReady as error:
        if "tls-port" in str(error) or "TLS" in str(error):
            pytest.skip(f"this Redis has no TLS: {error}")
        raise


def with_user(url: str, user: str, **options: str | Path) -> str:
    """The address with a user and options, as docs/operate.md writes it."""
    where = url.replace("://", f"://{user}:word@")
    return f"{where}{'&' if '?' in where else '?'}{urlencode(options, safe='/')}"


def assert_refused(settings: Settings, url: str, *, says: str) -> None:
    """A process with this address cannot work and says why, without the password. A busy machine may answer late."""
    settings.REDIS_URL = url
    bridge.run(close_gate())
    deadline, text = time.monotonic() + 60, ""
    while says not in text and time.monotonic() < deadline:
        with pytest.raises(GateDown) as refused:
            bridge.run(wall_ms())
        text = str(refused.value)
    assert says in text
    assert ":word" not in text


def doctor_sees(masters: list[int]) -> None:
    """Doctor finds all rights, and these masters by name. On a busy machine it may get its answer late."""
    wait_for("rights", lambda: redis_rights().found == "all")
    wait_for("masters", lambda: all(f"localhost:{port}: " in redis_servers()[0].found for port in masters))
    assert len(redis_servers()) == 1


def test_sentinel_with_tls_and_users_survives_a_failover_and_refuses_every_other_client(
    access: RedisAccess, settings: Settings, tmp_path: Path
) -> None:
    servers = started(Replicated(tmp_path / "servers", access=access))
    try:
        options: dict[str, str | Path] = {"ssl_ca_certs": access.ca, "sentinel_password": access.sentinel_password}
        url = with_user(servers.url, "flashsale", **options)
        other = Authority(tmp_path / "other", "another shop").ca
        assert_refused(settings, url.replace(str(access.ca), str(other)), says="certificate verify failed")
        assert_refused(settings, url.replace("of-sentinels", "wrong"), says="invalid username-password")
        assert_refused(settings, url.replace("flashsale:", "flashsale_none:"), says="invalid username-password")
        settings.REDIS_URL = url
        settings.LIMITS_URL = settings.BROKER_URL = with_user(servers.url, "flashsale_limits", **options)
        settings.CACHES = {
            name: {**cache, "LOCATION": [settings.LIMITS_URL]} for name, cache in settings.CACHES.items()
        }
        bridge.run(close_gate())
        sale, people = called(*NAMES, stock=6)
        numbers = [person.number() for person in people]
        next(person for person in people if person.number() == 1).reserve()
        then = halfway(sale, people)
        assert caches["limits"].add("before", 1, 60)
        servers.fail_over()
        assert refused_by_the_gate(people[0]) is Outcome.NOT_READY
        recover(sale)
        check(sale, people, numbers, then)
        assert caches["limits"].incr("before") == 2
        doctor_sees([servers.master()])
    finally:
        servers.__exit__(None, None, None)


def test_a_cluster_with_tls_and_users_survives_the_loss_of_a_node(
    access: RedisAccess, settings: Settings, tmp_path: Path
) -> None:
    cluster = started(Cluster(tmp_path / "servers", access=access))
    try:
        settings.REDIS_URL = url = with_user(cluster.url, "flashsale", ssl_ca_certs=access.ca)
        settings.LIMITS_URL = settings.BROKER_URL = url
        sale, people = called(*NAMES, stock=6)
        numbers = [person.number() for person in people]
        next(person for person in people if person.number() == 1).reserve()
        then = halfway(sale, people)
        dead = cluster.master_of(f"fs:{{{sale.campaign_id}}}:sale:{sale.pk}")
        replica = cluster.replica_of(dead)
        cluster.servers[dead].kill()
        cluster.promote(replica, instead_of=dead)
        assert refused_by_the_gate(people[0]) is Outcome.NOT_READY
        recover(sale)
        check(sale, people, numbers, then)
        doctor_sees([port for port in cluster.ports if cluster.fact(port, "role") == "master"])
        cluster.servers[dead].start()
        wait_for("the killed node follows", lambda: cluster.fact(dead, "master_link_status") == "up")
        assert_refused(settings, url.replace("flashsale:", "flashsale_none:"), says="invalid username-password")
    finally:
        cluster.__exit__(None, None, None)
