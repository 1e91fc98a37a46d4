"""Every key in the gate's Redis: pattern, type, meaning, life. Nothing else spells a key.

`{c}` is the campaign's id in braces, the hash tag: all keys of a campaign live on one node of a Redis Cluster.

| pattern                         | type   | meaning                                                                  |
|---------------------------------|--------|--------------------------------------------------------------------------|
| fs:sales                        | HASH   | sale code → "campaign id:sale id", the directory                         |
| fs:{c}:card:<sale>              | STRING | the sale's card, JSON: what a door needs to know (gate/card.py)          |
| fs:{c}:sale:<sale>              | HASH   | run, revision, state, times, paused_ms, runs_from, runs_until, frozen    |
| fs:{c}:line:<sale>:<n>          | HASH   | entered, block, cohort, seed, called, lapsed, held, sold, left, gaps;    |
|                                 |        | late: lapsed with extra time, too; removed: how often units left the     |
|                                 |        | offer by no claim (rolled over, late money)                              |
| fs:{c}:place:<sale>:<bucket>    | HASH   | digest (16 bytes) → place, packed (enter.lua); the crowd-sized memory    |
| fs:{c}:out:<sale>:<n>           | BITMAP | by index: left or voided                                                 |
| fs:{c}:seen:<sale>:<n>          | BITMAP | by index: shown by its token, or left, since everything was lost; in a  |
|                                 |        | line that carries an order over: every old number ever shown             |
| fs:{c}:voided:<sale>:<n>        | SET    | indexes voided because their owner had an earlier place                  |
| fs:{c}:spent:<sale>:<n>         | BITMAP | by number: not an open claim any more (reserved, left, voided, gap)      |
| fs:{c}:waves:<sale>:<n>         | ZSET   | "last number:time called" scored by last number                          |
| fs:{c}:listed:<sale>:<n>        | SET    | digests (hex) of the people on the allocation's list                     |
| fs:{c}:patient:<sale>:<n>       | ZSET   | indexes with twice the time to claim, scored by number (0: not drawn)    |
| fs:{c}:pace:<sale>:<who>        | STRING | token bucket: when it is full again, ms (PX until then)                  |
| fs:{c}:moving:<sale>:<n>        | ZSET   | unit id scored by version: withdrawn, on its way to the successor        |
| fs:{c}:free:<sale>:<n>:<sku>    | ZSET   | unit id scored by version: units that may be taken                       |
| fs:{c}:units:<sale>             | HASH   | unit id → highest version known                                          |
| fs:{c}:asked:<sale>             | HASH   | request key → what was taken for it, JSON (reserve.lua)                  |
| fs:{c}:holds:<sale>             | HASH   | reservation id → request key, while its units are taken                  |
| fs:{c}:due:<sale>               | ZSET   | reservation id scored by deadline, while unpaid                          |
| fs:{c}:refused:<sale>           | HASH   | verb and word → how often doors refused so (tally.py)                    |
| fs:{c}:used:campaign            | HASH   | digest (hex) → units held and bought in the campaign                     |
| fs:{c}:used:<sale>              | HASH   | the same within one sale, where it has a limit of its own                |
| fs:{c}:unpaid                   | HASH   | digest (hex) → holds that it let expire unpaid in the campaign           |
| fs:{c}:tend:<sale>              | STRING | somebody looked after the sale a moment ago (PX 200)                     |

When a sale is forgotten (a day after its end, cards.forget) the crowd's keys go at once: card, state, lines, stock and
counts stay for 120 days, for an order may still be cancelled; `used:campaign` and `unpaid` stay with their campaign.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from zlib import crc32

DIRECTORY = "fs:sales"
# 64 buckets are enough for a demo. A million entries with three axes need 2^16 buckets, because Redis keeps only small
# hashes in its compact encoding (listpack).
ENTRIES_PER_BUCKET = 45


def buckets_for(max_entries: int, axes: int) -> int:
    """How many place buckets (a power of two, 64 to 65,536) keep each small enough for Redis' compact encoding."""
    wanted = max(1, max_entries * axes // ENTRIES_PER_BUCKET)
    return min(65_536, max(64, 1 << (wanted - 1).bit_length()))


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
    def asked(self) -> str:
        return self._key(f"asked:{self.sale}")

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
    def tend(self) -> str:
        return self._key(f"tend:{self.sale}")

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

    def patient(self, line: int) -> str:
        return self._key(f"patient:{self.sale}:{line}")

    def paces(self, whose: Iterable[str]) -> list[str]:
        stem = self._key(f"pace:{self.sale}:")
        return [f"{stem}{who}" for who in whose]

    def moving(self, line: int) -> str:
        return self._key(f"moving:{self.sale}:{line}")

    def free(self, line: int, sku: str) -> str:
        return self._key(f"free:{self.sale}:{line}:{sku}")

    def buckets(self, numbers: Iterable[int]) -> list[str]:
        stem = self._key(f"place:{self.sale}:")
        return [f"{stem}{number}" for number in numbers]

    def places(self, digests: Iterable[bytes], buckets: int) -> list[str]:
        return self.buckets(crc32(digest) % buckets for digest in digests)
