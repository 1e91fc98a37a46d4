"""Entries: at the freeze, a sale of draw version 2 commits to who is in its lines, before any number is known.

How this works
--------------
The entries of a line are the leaves of a hash tree (rules/entries.py). Its root goes into the seed, and everybody can
read it before the round of the beacon exists. So no entry can be added or taken out when the numbers are known.

    1. Redis freezes the cohorts          draw.py; no place joins a cohort from here on
    2. one process takes a lock           advisory lock of PostgreSQL; the others wait for the next tick
    3. read all place buckets             in pieces: digest → place; then who is out of the lines
    4. hash the tree                      a second or two for a million entries
    5. ask Redis again                    the same memory as at step 1, or all is thrown away
    6. PostgreSQL writes                  root, counts, leaves, who is out, the time of the freeze: one transaction
    7. Redis gets the root                the status document shows it

* The process dies before 6: nothing is written, and PostgreSQL frees the lock. The next tick begins again at 3. Its
  time of the freeze is later, so the round of the beacon is later, too.
* The process dies after 6: the next tick finds the rows and does 7. The first writer wins; a root never changes.
* SQLite has no advisory locks. Two processes may compute the tree; the second one finds the rows of the first.
* Redis loses its memory before 6: the rebuild raises the epoch, so step 5 or step 6 refuses. After the rebuild, the
  places that PostgreSQL knew count as entered. Their digests are missing in the leaves if no token brought them back in
  time. The indexes that were perhaps given in the last second are "never given". Their owners enter again, behind.
* Redis loses its memory after 6: the rebuild loads root and cohort.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from django.db import connection, transaction

from flashsale.books.idle_limit import allow_long_idle
from flashsale.books.reservations import lock_sale
from flashsale.gate import bridge, sale_cards, scripts
from flashsale.gate import entries as gate_entries
from flashsale.gate.client import GateCache, wall_ms
from flashsale.gate.messages import Crowd
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.crowd_backup import store_crowd
from flashsale.life.db_threads import run_in_db_thread, run_in_rebuild_thread
from flashsale.life.measure_clock import postgresql_ms
from flashsale.models import Allocation, Entries, EntriesTile, Record, Sale
from flashsale.models.sale import moment
from flashsale.providers import beacon
from flashsale.rules import lottery
from flashsale.rules.entries import (
    TILE,
    Inclusion,
    LineDigests,
    Tree,
    add_places,
    proof_of,
    states_of,
    tile_of,
    tiles_of,
    tree_of,
)
from flashsale.rules.identity import AXIS_ID
from flashsale.rules.lottery import LeafState
from flashsale.rules.outcomes import Outcome

log = logging.getLogger(__name__)
# The kind of work of the advisory lock ("root" in ASCII).
ENTRIES_LOCK = int.from_bytes(b"root")
TILES_AT_ONCE = 100
# How far apart the clocks of Redis and of the database may be at the freeze: a quarter of an hour.
APART_MS_MAX = 900_000
# Tiles that a process keeps: 33 MB. A crowd that saves its receipts reads each tile once in a process.
TILES_KEPT = 1000


class Committed(NamedTuple):
    """What a sale has committed to: the round of its beacon (0: none), its signature once it is known, and the lines.

    `lines` has the count of the entries and their root (hex), by line id.
    """

    round: int
    signature: bytes
    lines: dict[int, tuple[int, str]]


class _Read(NamedTuple):
    states: bytes
    tree: Tree
    crowd: Crowd


class _Known(NamedTuple):
    cohort: int
    root: str
    heads: bytes


# By commitment and line id.
ENTRIES: GateCache[tuple[str, int], _Known] = GateCache()
# By commitment, line id and tile: leaves and states. The oldest goes first.
TILES: GateCache[tuple[str, int, int], tuple[bytes, bytes]] = GateCache()


def declared_chain(card: SaleCard) -> lottery.Chain | None:
    """The chain of the sale's beacon. None: this server does not know the chain.

    A declared beacon is never replaced, not even by a setting. The round of another chain with the same number may be
    an old one. So a server that does not know the chain does not freeze the lines.
    """
    known = beacon.chain_of(card.beacon_chain)
    if known is None:
        log.error(
            "%s waits for a round of %s, and FLASHSALE_BEACON_CHAIN is %s",
            card.code, card.beacon_chain, beacon.chain().hash,
        )  # fmt: skip
    return known


async def commit(*, card: SaleCard, cohorts: Mapping[int, int]) -> Committed | None:
    """Commits a frozen sale to the entries of its lines. Returns what the first writer wrote.

    None: another process commits, or Redis or the opening has changed since the freeze. The next tick tries again.
    Safe to repeat, and in several processes at once. Raises GateDown and django.db.Error.
    """
    found = await run_in_db_thread(committed, card.sale)
    if not found and card.beacon_chain and declared_chain(card) is None:
        return None
    return found or await run_in_rebuild_thread(_commit, card, cohorts)


def committed(sale: int) -> Committed | None:
    """What the sale has committed to, None before."""
    row = Sale.objects.get(pk=sale)
    if row.entries_frozen_at is None:
        return None
    rows = Entries.objects.filter(allocation__sale=sale).values_list("allocation__line_id", "cohort", "root")
    lines = {line_id: (cohort, root) for line_id, cohort, root in rows}
    return Committed(row.beacon_round or 0, bytes(row.beacon_signature or b""), lines)


def _commit(card: SaleCard, cohorts: Mapping[int, int]) -> Committed | None:
    with advisory_lock(ENTRIES_LOCK, card.sale, wait=False) as is_mine:
        if not is_mine:
            return None
        if known := committed(card.sale):
            return known
        began = time.monotonic()
        found = _read(card, cohorts)
        # A Redis that has restarted or gone back in time meanwhile has answered with places that are missing.
        if not found or bridge.run(scripts.freeze(card)) != cohorts or not _write(card, found):
            return None
        log.info("%s has committed to its entries after %.1f s", card.code, time.monotonic() - began)
        return committed(card.sale)


def _read(card: SaleCard, cohorts: Mapping[int, int]) -> dict[int, _Read] | None:
    """The states and the tree of each line, and who is out of it, by line id. None: Redis has lost the sale."""
    axes = card.hard_at_enter
    lines = {line.line_id: LineDigests(_drawn(line, cohorts), len(axes)) for line in card.lines}
    # A bucket's number says the place of its axis among those that an entry proves. Leaves have them by axis number.
    order = sorted(range(len(axes)), key=lambda at: AXIS_ID[axes[at]])
    axis_of = {at: axis for axis, at in enumerate(order)}
    if any(line.cohort for line in lines.values()):
        add = partial(_add_bucket, lines, [axis_of[at] for at in range(len(axes))])
        bridge.run(gate_entries.read_places(card, add))
    found = {}
    for line in card.lines:
        digests, crowd = lines[line.line_id], bridge.run(sale_cards.crowd(card, line))
        if isinstance(crowd, Outcome):
            return None
        states = states_of(digests, out=crowd.out, seen=crowd.seen, voided=bridge.run(gate_entries.voided(card, line)))
        found[line.line_id] = _Read(states, tree_of(tiles_of(digests, states)), crowd)
    return found


def _add_bucket(
    lines: Mapping[int, LineDigests], axis_of: Sequence[int], number: int, bucket: Mapping[bytes, bytes]
) -> None:
    add_places(lines, axis_of[number % len(axis_of)], bucket.items())


def _drawn(line: LineCard, cohorts: Mapping[int, int]) -> int:
    """How many entries a line draws: none if it carries an order over, or has no line of people."""
    return 0 if line.carries else cohorts[line.line_id]


@transaction.atomic
def _write(card: SaleCard, found: Mapping[int, _Read]) -> bool:
    """Writes the commitment of all lines. False: the epoch or the opening has changed, and nothing is written."""
    allow_long_idle()
    epoch, _ = lock_sale(card.sale, exclusive=True)
    row = Sale.objects.get(pk=card.sale)
    if row.entries_frozen_at is not None:
        return True
    redis_ms, database_ms = _clocks_ms()
    if epoch != card.epoch or moment(redis_ms) < row.freezes_at:
        return False
    if abs(redis_ms - database_ms) > APART_MS_MAX:
        # A round is final. One that follows from a clock that is hours ahead would keep the line waiting for hours.
        log.error("%s does not freeze: Redis and the database differ by %d ms", card.code, redis_ms - database_ms)
        return False
    facts = {}
    for line in Allocation.objects.filter(sale=row):
        states, tree, crowd = found[line.line_id]
        counts = [states.count(state) for state in LeafState]
        entries = Entries.objects.create(
            allocation=line, cohort=len(states), root=tree.root.hex(), heads=tree.heads,
            entered=counts[LeafState.ENTERED], gone=counts[LeafState.GONE], never_given=counts[LeafState.NEVER_GIVEN],
        )  # fmt: skip
        tiles = [EntriesTile.made(entries, number, leaves, states) for number, leaves in enumerate(tree.tiles)]
        EntriesTile.objects.bulk_create(tiles, batch_size=TILES_AT_ONCE)
        store_crowd(line.pk, crowd)
        facts[line.code] = [len(states), entries.root, *counts]
    # Read after all rows are written: writing takes time, and the round must come 30 s after the root is stored.
    row.entries_frozen_at = moment(-(-max(_clocks_ms()) // 1000) * 1000)
    if row.beacon_chain:
        known = beacon.chain_of(row.beacon_chain)
        assert known is not None, "commit has asked for it"
        row.beacon_round = lottery.round_after(int(row.entries_frozen_at.timestamp()), known)
    row.save(update_fields=["entries_frozen_at", "beacon_round"])
    Record.write("freeze", by="clock", sale=row, facts=facts)
    return True


def _clocks_ms() -> tuple[int, int]:
    """The clocks of Redis and of the database, in ms since 1970. The later one gives the time of the freeze.

    The round must be unknown when the root is public. If a clock were behind and counted alone, the round would be
    known already, and a person who sets this clock could choose the entries by the round. A clock that is ahead only
    makes the line wait. SQLite has no clock of its own, so the clock of Redis stands for both.
    """
    redis_ms = bridge.run(wall_ms())
    return redis_ms, postgresql_ms() if connection.vendor == "postgresql" else redis_ms


async def inclusion_of(*, card: SaleCard, line: LineCard, index: int) -> Inclusion | None:
    """The proof that the entries of a line have a leaf at this index. None before the root is public, and behind it.

    One read of PostgreSQL for a thousand entries: a process keeps the tiles that it has read.
    """
    known = await _known(card, line)
    if known is None or index > known.cohort:
        return None
    key = card.commitment, line.line_id
    tiles, number = TILES.entries(), tile_of(index)
    tile = tiles.get((*key, number))
    if tile is None:
        tile = await run_in_db_thread(_read_tile, line.id, number)
        if tile is None:
            return None
        while len(tiles) >= TILES_KEPT:
            tiles.pop(next(iter(tiles)))
        tiles[*key, number] = tile
    leaves, states = tile
    leaf, proof = proof_of(index, tile=leaves, heads=known.heads)
    return Inclusion(known.cohort, known.root, LeafState(states[(index - 1) % TILE]), leaf, proof)


async def is_behind(*, card: SaleCard, line: LineCard, index: int) -> bool:
    """Whether a ticket was given after the entries were fixed. False before, and where a line has no draw."""
    known = await _known(card, line)
    return known is not None and index > known.cohort and not line.carries


async def _known(card: SaleCard, line: LineCard) -> _Known | None:
    """What a line has committed to; None before its root is public. A process reads it once."""
    if not card.commits_entries:
        return None
    kept, key = ENTRIES.entries(), (card.commitment, line.line_id)
    if key not in kept:
        if not await gate_entries.root_of(card, line):
            return None
        kept[key] = await run_in_db_thread(_read_entries, line.id)
    return kept[key]


def _read_entries(allocation: int) -> _Known:
    row = Entries.objects.get(pk=allocation)
    return _Known(row.cohort, row.root, bytes(row.heads))


def _read_tile(allocation: int, number: int) -> tuple[bytes, bytes] | None:
    found = EntriesTile.objects.filter(entries=allocation, number=number).values_list("leaves", "states").first()
    return (bytes(found[0]), bytes(found[1])) if found else None


def states_in_books(line: Allocation) -> bytes:
    """The state of each index at the freeze, one byte each; empty after an erasure, and where nothing is committed."""
    tiles = EntriesTile.objects.filter(entries=line.pk).order_by("number").values_list("states", flat=True)
    return b"".join(map(bytes, tiles))
