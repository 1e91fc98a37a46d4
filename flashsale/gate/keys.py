"""The names of all keys in the gate (Redis): pattern, type, meaning, life. No other file spells a key.

`{c}` is the campaign's id in braces. This is the hash tag: all keys of a campaign live on one node of a Redis Cluster.
The keys of one-time codes have the tag `{codes}`.

| pattern                         | type   | meaning                                                                  |
|---------------------------------|--------|--------------------------------------------------------------------------|
| fs:sales                        | HASH   | sale code → "campaign id:sale id", the directory                         |
| fs:look_at                      | ZSET   | sale code scored by the time (ms) when a process must look at it next    |
| fs:loaded_by                    | STRING | run id of the server that was found to have all sales                    |
| fs:mending                      | STRING | a process has begun to mend all sales (expires then)                     |
| fs:compared                     | STRING | a process has begun to compare all stock (expires then)                  |
| fs:untrusted_peers              | ZSET   | network of a proxy that is not trusted, scored by when it was seen (s);  |
|                                 |        | expires (untrusted_peers.py)                                             |
| fs:alarms                       | STRING | a process looks for alarms in this period (expires then)                 |
| fs:alarm_books                  | HASH   | since (ms) PostgreSQL does not answer; the ways by which people were told |
| fs:alarm_books:<way>            | STRING | a process is telling people by this way (expires then)                   |
| fs:provider_pace:<account>      | STRING | when a payment provider may be called again, µs; expires then            |
| {fs:provider_pace:<account>}:background | STRING | the same for calls for which no buyer waits                      |
| fs:notifications                | SET    | payment accounts with notifications that are not read yet: a hint        |
| fs:nonce:<digest>               | STRING | a signed request was made with this nonce; expires with its timestamp    |
| fs:quotas:<minute>              | HASH   | "channel class" → calls of a channel at the hot door; expires            |
| fs:quota_alarms                 | HASH   | "channel class" → time (ms), calls and quota of the last alarm; expires  |
| fs:metrics:<run id>             | HASH   | metric, labels and place in its cell → sum of all processes (metrics.py) |
| fs:signs                        | HASH   | part of the system → when it lived last (ms), or a value about it        |
| fs:sampling                     | STRING | the process that takes the samples (expires then)                        |
| fs:{codes}:code:<id>            | HASH   | a one-time code on its way: state, sender, senders, tries, axis, sale,   |
|                                 |        | language; sealed: its address; expires with the code (code_queue.py)     |
| fs:{codes}:queue:<sender>       | ZSET   | ids of codes scored by the time (ms) when the sender may send them       |
| fs:{codes}:waiting              | ZSET   | ids of codes scored by the time (ms) when they go on to the next sender  |
| fs:{codes}:report:<keyed hash>  | STRING | a gateway's reference → "sender id", or an early report; expires         |
| fs:{codes}:spent:<day>          | STRING | money that the codes of a day cost; expires                              |
| fs:{c}:card:<sale>              | STRING | the sale card, sealed: what a web process needs to know (sale_card.py)   |
| fs:{c}:sale:<sale>              | HASH   | run, replication, mark, revision, state, epoch, lobby, opens, closes,    |
|                                 |        | claim, hold, paused_ms, runs_from, runs_until, frozen; freeze_ms,        |
|                                 |        | commits: where the sale commits to its entries (prelude.lua)             |
| fs:{c}:line:<sale>:<n>          | HASH   | entered, block, cohort, seed, called, lapsed, held, sold, left, gaps,    |
|                                 |        | lost, carried, opens, mode, listed, frozen_for;                          |
|                                 |        | entered:<channel id>: new places of the channel, where it has a maximum; |
|                                 |        | late: like lapsed, but extra time is over, too; removed: how often units |
|                                 |        | left the offer without a claim (rolled over, late money); buyers,        |
|                                 |        | bought: people who have reserved and their units, where the limit is > 1; |
|                                 |        | root: of the committed entries (hex); round: of the beacon (0: none);    |
|                                 |        | waits: "1" while the numbers wait for the beacon (root.lua)              |
| fs:{c}:place:<sale>:<bucket>    | HASH   | digest (16 bytes) → packed place (prelude.lua). The only data that grows |
|                                 |        | with the crowd. digest and "w" → place by a partner's word, where a code |
|                                 |        | proved the digest                                                        |
| fs:{c}:out:<sale>:<n>           | BITMAP | by index: left or voided, or lost with the gate's memory                 |
| fs:{c}:seen:<sale>:<n>          | BITMAP | by index: the token was shown, or the place was left, since the gate     |
|                                 |        | lost its memory. In a line that carries an order over: the old number    |
|                                 |        | was shown                                                                |
| fs:{c}:voided:<sale>:<n>        | SET    | indexes that are void because their owner had an earlier place           |
| fs:{c}:spent:<sale>:<n>         | BITMAP | by number: not an open claim any more (reserved, left, voided, gap)      |
| fs:{c}:waves:<sale>:<n>         | ZSET   | "last number:time called", scored by last number                         |
| fs:{c}:listed:<sale>:<n>        | SET    | digests (hex) of the people on the allocation's list                     |
| fs:{c}:extra_time:<sale>:<n>    | ZSET   | indexes with twice the time to claim, scored by number (0: not drawn)    |
| fs:{c}:pace:<sale>:<name>       | STRING | token bucket: when it is full again, ms; expires then                    |
| fs:{c}:moving:<sale>:<n>        | ZSET   | unit id scored by version: withdrawn, on its way to the successor        |
| fs:{c}:free:<sale>:<n>:<sku>    | ZSET   | unit id scored by version: units that may be taken                       |
| fs:{c}:units:<sale>             | HASH   | unit id → highest version known                                          |
| fs:{c}:held_requests:<sale>     | HASH   | request key → what is held for it, JSON (held_request.py)                |
| fs:{c}:holds:<sale>             | HASH   | reservation id → request key, while its units are taken                  |
| fs:{c}:due:<sale>               | ZSET   | reservation id scored by deadline, while unpaid                          |
| fs:{c}:refused:<sale>           | HASH   | verb and word → how often it was refused (refusal_counts.py)             |
| fs:{c}:door:<sale>              | HASH   | place in a cell of SALE_DOOR_SECONDS → requests (gate/metrics.py)        |
| fs:{c}:used:campaign            | HASH   | digest (hex) → units held and bought in the campaign                     |
| fs:{c}:used:<sale>              | HASH   | the same in one sale, where the sale has a limit of its own              |
| fs:{c}:unpaid                   | HASH   | digest (hex) → unpaid holds in the campaign (models/limit_slot.py)       |

A day after a sale's end, sale_cards.remove_sale deletes the crowd's keys at once. Card, state, lines, stock and counts
stay for 120 days, because an order may still be cancelled. `used:campaign` and `unpaid` stay with their campaign.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

# Of the installation. All other keys belong to a campaign.
UNTRUSTED_PEERS = "fs:untrusted_peers"
DIRECTORY, LOOK_AT, LOADED_BY, MENDING, COMPARED = (
    "fs:sales", "fs:look_at", "fs:loaded_by", "fs:mending", "fs:compared",
)  # fmt: skip
PROVIDER_PACE = "fs:provider_pace:"
NOTIFICATIONS = "fs:notifications"
SIGNS, SAMPLING = "fs:signs", "fs:sampling"
QUOTA_ALARMS = "fs:quota_alarms"
ALARMS, ALARM_BOOKS = "fs:alarms", "fs:alarm_books"
CODES_WAITING = "fs:{codes}:waiting"
# 64 buckets are enough for a demo. A million entries with three axes need 2^16, so that each bucket stays a listpack.
ENTRIES_PER_BUCKET = 45


def entered_field(channel: int) -> str:
    """The field of a line's hash that counts the new places of a channel, where that has a maximum."""
    return f"entered:{channel}"


def buckets_for(max_entries: int, axes: int) -> int:
    """How many place buckets (a power of two, 64 to 65,536) keep each small enough for Redis' compact encoding."""
    enough = max(1, max_entries * axes // ENTRIES_PER_BUCKET)
    return min(65_536, max(64, 1 << (enough - 1).bit_length()))


def provider_pace_key(account: str) -> str:
    """The key of the pace of calls to a payment account."""
    return f"{PROVIDER_PACE}{account}"


def background_pace_key(account: str) -> str:
    """The key of the pace of calls for which no buyer waits. It lies on the same node as the account's own pace."""
    return f"{{{provider_pace_key(account)}}}:background"


def nonce_key(digest: str) -> str:
    """The key of the nonce of a signed request, by its digest."""
    return f"fs:nonce:{digest}"


def quota_window_key(minute: int) -> str:
    """The key of the calls of all channels in a minute since 1970."""
    return f"fs:quotas:{minute}"


def metrics_key(run_id: str) -> str:
    """The key of the metrics of all processes, in this run of the Redis server."""
    return f"fs:metrics:{run_id}"


def code_key(id_: str) -> str:
    """The key of a one-time code on its way."""
    return f"fs:{{codes}}:code:{id_}"


def codes_queue_key(sender: str) -> str:
    """The key of the queue of a sender of codes."""
    return f"fs:{{codes}}:queue:{sender}"


def code_report_key(digest: str) -> str:
    """The key of a gateway's reference, by its keyed hash."""
    return f"fs:{{codes}}:report:{digest}"


def code_spent_key(day: str) -> str:
    """The key of the money that the codes of a day cost."""
    return f"fs:{{codes}}:spent:{day}"


@dataclass(frozen=True, slots=True)
class SaleKeys:
    """The keys of one sale."""

    campaign: int
    sale: int

    def _key(self, rest: str) -> str:
        return f"fs:{{{self.campaign}}}:{rest}"

    @property
    def card(self) -> str:
        return self._key(f"card:{self.sale}")

    @property
    def state(self) -> str:
        return self._key(f"sale:{self.sale}")

    @property
    def units(self) -> str:
        return self._key(f"units:{self.sale}")

    @property
    def held_requests(self) -> str:
        return self._key(f"held_requests:{self.sale}")

    @property
    def holds(self) -> str:
        return self._key(f"holds:{self.sale}")

    @property
    def due(self) -> str:
        return self._key(f"due:{self.sale}")

    @property
    def used_campaign(self) -> str:
        return self._key("used:campaign")

    @property
    def used_sale(self) -> str:
        return self._key(f"used:{self.sale}")

    @property
    def unpaid(self) -> str:
        return self._key("unpaid")

    @property
    def refused(self) -> str:
        return self._key(f"refused:{self.sale}")

    @property
    def door(self) -> str:
        return self._key(f"door:{self.sale}")

    def line(self, line: int) -> str:
        return self._key(f"line:{self.sale}:{line}")

    def out(self, line: int) -> str:
        return self._key(f"out:{self.sale}:{line}")

    def seen(self, line: int) -> str:
        return self._key(f"seen:{self.sale}:{line}")

    def voided(self, line: int) -> str:
        return self._key(f"voided:{self.sale}:{line}")

    def spent(self, line: int) -> str:
        return self._key(f"spent:{self.sale}:{line}")

    def waves(self, line: int) -> str:
        return self._key(f"waves:{self.sale}:{line}")

    def listed(self, line: int) -> str:
        return self._key(f"listed:{self.sale}:{line}")

    def extra_time(self, line: int) -> str:
        return self._key(f"extra_time:{self.sale}:{line}")

    def paces(self, names: Iterable[str]) -> list[str]:
        stem = self._key(f"pace:{self.sale}:")
        return [f"{stem}{name}" for name in names]

    def moving(self, line: int) -> str:
        return self._key(f"moving:{self.sale}:{line}")

    def free(self, line: int, sku: str) -> str:
        return self._key(f"free:{self.sale}:{line}:{sku}")

    def buckets(self, numbers: Iterable[int]) -> list[str]:
        stem = self._key(f"place:{self.sale}:")
        return [f"{stem}{number}" for number in numbers]

    def places(self, digests: Iterable[bytes], buckets: int, axes: int = 0) -> list[str]:
        """The bucket of each digest. With `axes`, the digests come in groups of so many, each in the order of the axes.

        The number of the bucket then says the axis: it is the remainder of the number by `axes`.
        """
        if not axes:
            return self.buckets(crc32(digest) % buckets for digest in digests)
        groups = buckets // axes
        return self.buckets(crc32(digest) % groups * axes + at % axes for at, digest in enumerate(digests))
