"""Peers that sent `X-Forwarded-For` although the settings do not name them as our proxies: for `manage.py doctor`.

A proxy that is missing in FLASHSALE_TRUSTED_PROXIES makes all shoppers look like one client, so limits refuse them.
Only the network of the peer is kept (IPv4 /24, IPv6 /48), because the peer may be a shopper.
"""

import ipaddress
import time

from flashsale.gate.client import gate
from flashsale.gate.keys import UNTRUSTED_PEERS

NETWORKS_MAX = 20
KEPT_S = 24 * 60 * 60
_seen: set[str] = set()


def note(peer: str) -> None:
    """Notes a peer in memory. An address that cannot be read is not noted."""
    if len(_seen) >= NETWORKS_MAX:
        return
    try:
        parsed = ipaddress.ip_address(peer)
    except ValueError:
        return
    prefix = 24 if parsed.version == 4 else 48
    _seen.add(str(ipaddress.ip_network((parsed, prefix), strict=False)))


async def flush() -> None:
    """Writes what was noted to Redis. Raises GateDown; the peers come again with their next request."""
    if not _seen:
        return
    networks = {network: int(time.time()) for network in _seen}
    _seen.clear()
    pipe = gate().redis.pipeline(transaction=True)
    pipe.zadd(UNTRUSTED_PEERS, networks)
    pipe.zremrangebyrank(UNTRUSTED_PEERS, 0, -1 - NETWORKS_MAX)
    pipe.expire(UNTRUSTED_PEERS, KEPT_S)
    await pipe.execute()


async def recent() -> list[str]:
    """The networks of the last day, the newest last. Raises GateDown."""
    found = await gate().redis.zrangebyscore(UNTRUSTED_PEERS, int(time.time()) - KEPT_S, "+inf")
    return [network.decode() for network in found]
