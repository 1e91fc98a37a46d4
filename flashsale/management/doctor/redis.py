"""Redis: does it keep what it is told, and is there room."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.gate.rights import missing_rights
from flashsale.gate.server_facts import masters_facts, server_facts
from flashsale.management.doctor.check import Check, in_production

# A sale that opens fills Redis within seconds, so there must be room before it.
USED_MAX = 0.6
CONNECTIONS_USED_MAX = 0.8
# Problems of rights that are shown.
SHOWN = 4
SEVERAL = re.compile(r"rediss?\+(sentinel|cluster)://")
EXPECTED = (
    f"noeviction; an append-only file that is written; a master; at most {USED_MAX:.0%} of maxmemory used; connections"
)


def redis_servers() -> list[Check]:
    """One check for each Redis server that the settings name."""
    urls: dict[str, list[str]] = {}
    for name, url in (
        ("REDIS_URL", settings.REDIS_URL), ("LIMITS_URL", settings.LIMITS_URL), ("BROKER_URL", settings.BROKER_URL),
    ):  # fmt: skip
        # Databases of one server count once. Celery's name for a socket is not one of the Redis client.
        if url.startswith(("redis://", "rediss://", "unix://")) or SEVERAL.match(url):
            urls.setdefault(_server_of(url), [url]).append(name)
    return [_server(url, names) for url, *names in urls.values()]


def redis_rights() -> Check:
    """Whether the user of REDIS_URL may run every command of the gate (ACL)."""
    name, expected = "Redis rights", "every command of the gate on keys that begin with fs: or {fs:"
    try:
        missing = bridge.run(missing_rights(settings.REDIS_URL))
    except GateDown as error:
        return Check(name, False, f"no answer: {error}", expected, "see the check of Redis (gate)")
    found = "\n".join(missing[:SHOWN]) + (f"\nand {len(missing) - SHOWN} more" if len(missing) > SHOWN else "")
    fix = "ACL SETUSER as docs/operate.md says (Users of Redis), on every server of Redis"
    return Check(name, not missing, found or "all", expected, fix)


def _server_of(url: str) -> str:
    if several := SEVERAL.match(url):
        return f"{several[1]} {url.rpartition('@')[2]}"
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"


def _server(url: str, names: list[str]) -> Check:
    name = f"Redis: {', '.join(names)}"
    try:
        several = SEVERAL.match(url)
        servers = bridge.run(masters_facts(url)) if several else {"": bridge.run(server_facts(url))}
    except GateDown as error:
        return Check(name, False, f"no answer: {error}", EXPECTED, f"start Redis, or set {names[0]}")
    problems: dict[str, str] = {}
    lines: list[str] = []
    for where, facts in servers.items():
        at = f"{where}: " if where else ""
        here = dict(_problems(facts, names)) | (dict(_alone(facts, several[1])) if several else {})
        lines += [f"{at}{line}" for line in (_memory(facts), *here)]
        problems |= here
    found = "\n".join(lines)
    return in_production(Check(name, not problems, found, EXPECTED, "\n".join(dict.fromkeys(problems.values()))))


def _alone(facts: Mapping[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    """What is wrong with a master that another server is to replace."""
    if not facts.get("connected_slaves"):
        yield "no replica follows it", "start a replica, or look at its log"
    if kind != "sentinel":
        return
    # Redis has this field only where min-replicas-to-write is set.
    refuses, replicas = "min_slaves_good_slaves" in facts, facts.get("connected_slaves", 0)
    if refuses and replicas < 2:
        fix = "redis-cli CONFIG SET min-replicas-to-write 0 on each server, or run a second replica"
        yield "min-replicas-to-write is set: the next master will have no replica, and will refuse all", fix
    elif replicas > 1 and not refuses:
        fix = "redis-cli CONFIG SET min-replicas-to-write 1 (and min-replicas-max-lag 5) on each server"
        yield "min-replicas-to-write is 0: a master that is cut off goes on for a while", fix


def _memory(facts: Mapping[str, Any]) -> str:
    most = facts["maxmemory"] or facts.get("total_system_memory", 0)
    return f"{facts['redis_version']}, {facts['used_memory'] >> 20:,} of {most >> 20:,} MiB"


def _problems(facts: Mapping[str, Any], names: list[str]) -> Iterator[tuple[str, str]]:
    """What is wrong, and the command that fixes it."""
    if (policy := facts["maxmemory_policy"]) != "noeviction":
        fix = "redis-cli CONFIG SET maxmemory-policy noeviction"
        yield f"maxmemory-policy is {policy}: a full Redis deletes keys", fix
    if not facts["maxmemory"]:
        yield "maxmemory is not set: a full machine kills Redis", "redis-cli CONFIG SET maxmemory 512mb"
    most = facts["maxmemory"] or facts.get("total_system_memory", 0)
    if most and facts["used_memory"] > USED_MAX * most:
        used = facts["used_memory"] / most
        yield f"{used:.0%} of the memory is used", "redis-cli CONFIG SET maxmemory, with more (REDIS_SALES_MEMORY)"
    if "REDIS_URL" in names and not facts["aof_enabled"]:
        yield "appendonly is no: a restart loses places and costs a rebuild", "redis-cli CONFIG SET appendonly yes"
    if facts["aof_enabled"] and facts.get("aof_last_write_status", "ok") != "ok":
        yield "the append-only file cannot be written", "free space on the disk of Redis, and look at its log"
    if facts["role"] != "master":
        yield f"it is a {facts['role']}", f"set {names[0]} to the master"
    used, most = facts["connected_clients"], int(facts.get("maxclients", 0))
    if most and used > CONNECTIONS_USED_MAX * most:
        yield f"{used} of {most} connections are open", "redis-cli CONFIG SET maxclients 10000"
