"""Draw: freezes the cohorts of a sale and writes them to PostgreSQL. From then on places have numbers.

How this works
--------------
The number of a place follows from its index, the cohort of its line and the sale's secret (rules/lottery.py). The
cohort is the number of indexes given before the freeze. Two different cohorts would give two different orders, so a
line must keep one cohort, whichever process draws it and whenever a process dies.

    1. Redis freezes        all lines at one instant; each later call gets the same cohorts
    2. PostgreSQL writes    cohort and seed of each line, and who is out of the line; the first writer wins
    3. Redis is prepared    numbers of left and voided places are marked spent, so that calling skips them;
                            places with extra time get their numbers
    4. Redis gets the seed  from here on places have numbers; a line that has a seed keeps it

* A process dies between two steps: the line has no seed in Redis yet, so the next tick begins again at 1. Steps 1 and 2
  give it the same cohorts, and steps 3 and 4 write the same values again.
* Two processes draw at once: step 2 gives both the cohorts of the first writer. Step 3 marks nothing once the line has
  its seed.
* Redis loses its memory after step 2: the rebuild loads cohort and seed from PostgreSQL. PostgreSQL also knows who was
  out, because step 2 wrote it in the same transaction.
* Redis loses its memory before step 2: no number has been shown yet. Redis freezes again after the rebuild.

Version 2 of the draw has three more steps after step 1. Its freeze may lie before the opening.

    1a. entries             the lines commit to their entries (entries.py); the root is public from here on
    1b. the beacon          if the sale has declared one: wait for its round, which comes 30 s or more after 1a, and
                            take its signature from a relay (providers/beacon.py). Meanwhile people may leave
    1c. Redis is told       that the numbers come now: leaving waits until step 4

* The round is late: the line waits, and its clock does not start. No other randomness replaces the declared round.
  BEACON_WAIT after the opening, or after the round if that comes later, the sale is called off: that rule is published.
* A process dies in 1b or 1c: the next tick begins again. The signature of a round is always the same.
"""

import logging
import time
from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from flashsale.books.events import NewEvent, record
from flashsale.books.reservations import lock_sale
from flashsale.gate import sale_cards, scripts
from flashsale.gate.client import GateCache, wall_ms
from flashsale.gate.messages import Crowd, Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import entries
from flashsale.life.crowd_backup import store_crowd
from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import Allocation, Record, Sale
from flashsale.models.sale import moment
from flashsale.providers import beacon
from flashsale.rules import lottery
from flashsale.rules.events import EventType
from flashsale.rules.outcomes import Outcome

log = logging.getLogger(__name__)
NUMBERS_PER_CALL = 1000
# How often a process asks the relays for a round that is late.
ASK_EVERY_S = 1.0
# How long a sale waits for its beacon. Then it is called off: the page of the sale says so from its publication on.
BEACON_WAIT_MS = 3_600_000
# By commitment: when this process may ask the relays again (monotonic clock).
TRIED: GateCache[str, float] = GateCache()


async def draw(*, card: SaleCard) -> bool:
    """Freezes and draws all lines of a sale. Returns whether they are drawn now.

    Safe at any moment, safe to repeat, and safe in several processes at once (see the head of this file).
    """
    cohorts = await scripts.freeze(card)
    if isinstance(cohorts, Outcome):
        return False
    signature = await _commit_and_wait(card, cohorts) if card.commits_entries else b""
    if signature is None:
        return False
    crowds = {}
    for line in card.lines:
        crowd = await sale_cards.crowd(card, line)
        if isinstance(crowd, Outcome):
            return False
        crowds[line.line_id] = crowd
    wall = moment(await wall_ms(scripts.keys_of(card).state))
    drawn = await run_in_db_thread(write_cohorts, card.sale, cohorts, crowds, wall, signature)
    if not drawn:
        return False
    for line in card.lines:
        cohort, seed = drawn[line.line_id]
        await _void_absent(card, line, cohort, seed)
        extra_time = await sale_cards.extra_time_places(card, line)
        for start in range(0, len(extra_time), NUMBERS_PER_CALL):
            chunk = extra_time[start : start + NUMBERS_PER_CALL]
            numbers = {index: lottery.number(index, cohort, bytes.fromhex(seed)) for index in chunk}
            await scripts.number_extra_time(card, line, numbers=numbers)
        await scripts.seed(card, line, cohort=cohort, seed=seed)
    return True


async def _commit_and_wait(card: SaleCard, cohorts: Mapping[int, int]) -> bytes | None:
    """Steps 1a to 1c. The signature of the beacon, empty where the sale has none; None: the numbers cannot come yet."""
    committed = await entries.commit(card=card, cohorts=cohorts)
    if committed is None:
        return None
    signature = await _signature(card, committed) if card.beacon_chain else b""
    # Once the numbers come, leaving waits: a place that is given up without its number would be called.
    await _publish_roots(card, committed, waits=signature is None)
    return signature


async def _publish_roots(card: SaleCard, committed: entries.Committed, *, waits: bool) -> None:
    for line in card.lines:
        cohort, root = committed.lines[line.line_id]
        await scripts.root(card, line, cohort=cohort, root=root, round_=committed.round, waits=waits)


async def _signature(card: SaleCard, committed: entries.Committed) -> bytes | None:
    """The signature of the sale's round, None while no relay has it."""
    if committed.signature:
        return committed.signature
    known = entries.declared_chain(card)
    if known is None:
        return None
    tried = TRIED.entries()
    at_ms, now = 1000 * known.time_of(committed.round), time.monotonic()
    if await wall_ms(scripts.keys_of(card).state) < at_ms or now < tried.get(card.commitment, 0.0):
        return None
    tried[card.commitment] = now + ASK_EVERY_S
    return await beacon.signature_of(known, committed.round)


def waited_too_long(card: SaleCard, figures: Survey) -> bool:
    """Whether the beacon is so late that the published rule ends the sale."""
    # Without the declared chain, a server cannot calculate which round follows from the freeze.
    stuck = bool(card.beacon_chain) and not figures.seed and beacon.chain_of(card.beacon_chain) is None
    return (figures.waits or stuck) and figures.wall > waiting_ends_ms(card.opens_at, card.beacon_chain, figures.round)


def waiting_ends_ms(opens_at: int, chain: str, round_: int) -> int:
    """When the published rule ends a sale that still waits for its round: ms since 1970, as `opens_at`.

    The round counts only where this server knows the chain that the sale has declared (`chain` is its hash).
    """
    known = beacon.chain_of(chain)
    round_ms = 1000 * known.time_of(round_) if known and round_ else 0
    return max(opens_at, round_ms) + BEACON_WAIT_MS


def write_cohorts(
    sale: int, cohorts: Mapping[int, int], crowds: Mapping[int, Crowd], now: datetime, signature: bytes = b""
) -> dict[int, tuple[int, str]]:
    """Writes the cohorts and who is out of each line, unless they are written already. Takes cohorts by line id.

    `signature` is that of the beacon's round, where the sale has one. Returns cohort and seed (hex) by line id, as the
    first writer wrote them. Returns {} before the freeze, and where version 2 lacks its entries or its beacon. Raises
    SecretUnreadable when this server's key cannot decrypt the secret; nothing is drawn then.
    """
    with transaction.atomic():
        lock_sale(sale, exclusive=True)
        row = Sale.objects.get(pk=sale)
        if row.frozen_at is None and now < row.freezes_at:
            # The opening has been moved, and Redis still has the old one. It gets the new one in a moment.
            return {}
        if row.frozen_at is None and row.commits_entries:
            if row.entries_frozen_at is None or bool(row.beacon_chain) != bool(signature):
                return {}
            row.beacon_signature = signature or None
        for line in row.allocations.filter(cohort=None).select_related("entries"):
            # A line that carries an order over keeps the old numbers, so it draws nothing.
            line.cohort = _cohort(row, line, cohorts)
            line.seed = seed_of(row, line).hex()
            line.save(update_fields=["cohort", "seed"])
            store_crowd(line.pk, crowds[line.line_id])
        if row.frozen_at is None:
            row.frozen_at = now
            row.publish_secret()
            row.save(update_fields=["frozen_at", "secret", "sealed_secret", "beacon_signature"])
            if not row.commits_entries:
                # Version 2 is drawn before the opening: the first lease of its clock says when it opens.
                record([NewEvent(EventType.SALE_OPENED, row.pk)], now)
            drawn = {line.code: [line.cohort, line.seed] for line in row.allocations.all()}
            Record.write("draw", by="clock", sale=row, facts=drawn)
        return {line.line_id: (line.cohort or 0, line.seed) for line in row.allocations.all()}


def _cohort(sale: Sale, line: Allocation, cohorts: Mapping[int, int]) -> int:
    if sale.commits_entries:
        return line.entries.cohort
    return 0 if line.carries_id else cohorts[line.line_id]


def seed_of(sale: Sale, line: Allocation) -> bytes:
    """The seed that follows for a line from the secret, its cohort, and in version 2 from its entries and the beacon.

    Raises SecretUnreadable.
    """
    cohort = line.cohort or 0
    if not sale.commits_entries:
        return lottery.seed(sale.draw_secret(), line.code, cohort)
    root = bytes.fromhex(line.entries.root)
    return lottery.seed_2(sale.draw_secret(), line.code, cohort, root, sale.randomness)


async def _void_absent(card: SaleCard, line: LineCard, cohort: int, seed: str) -> None:
    """Marks as spent the numbers of places that were left or voided before the draw, so that calling skips them."""
    crowd = await sale_cards.crowd(card, line)
    if isinstance(crowd, Outcome):
        return
    absent = crowd.absent()
    for start in range(0, len(absent), NUMBERS_PER_CALL):
        # Computed a thousand at a time, so that the event loop serves other requests in between.
        numbers = [lottery.number(x, cohort, bytes.fromhex(seed)) for x in absent[start : start + NUMBERS_PER_CALL]]
        await scripts.void(card, line, seed="", numbers=numbers)
