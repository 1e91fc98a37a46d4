"""Status: one public document for each line. It is the same for all callers, so that any cache can serve it."""

import json
import time
from dataclasses import replace
from typing import Any

from flashsale.gate import inspect, scripts
from flashsale.gate.client import GateCache
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.gate.shared_read import SharedReads
from flashsale.providers import beacon
from flashsale.rules import polling
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import Phase, SaleState, sale_phase

# Each process reads a line from Redis four times a second at most, however many requests come.
FRESH_S = 0.25
SOON_MS = 60_000
# All waiting shoppers fetch it every few seconds. With its headers it fits into one network packet.
BYTES_MAX = 1024
# In both languages, as every message to shoppers.
LATE = (
    "Menunggu keacakan publik (drand, putaran %(round)d). Nomor muncul sesudahnya.\n"
    "Waiting for public randomness (drand, round %(round)d). The numbers come then."
)
# The longest count and time that can occur. A direct line counts to two million; times in ms have 13 digits until 2286.
_COUNT, _RATE, _MOMENT = 9_999_999, 999_999, 9_999_999_999_999

# By sale and line id: when the document was made (monotonic clock), and the document.
DOCUMENTS: GateCache[tuple[int, int], tuple[float, dict[str, Any]]] = GateCache()
READS: SharedReads[tuple[int, int], dict[str, Any]] = SharedReads()


async def status(*, card: SaleCard, line: LineCard) -> dict[str, Any]:
    """The status document of a line, at most `FRESH_S` old. Refuses NOT_READY."""
    key = card.sale, line.line_id
    at, document = DOCUMENTS.entries().get(key, (0.0, {}))
    if time.monotonic() - at <= FRESH_S:
        return document
    return await READS.get(key, lambda: _read_and_keep(card, line))


async def _read_and_keep(card: SaleCard, line: LineCard) -> dict[str, Any]:
    document = await _read_document(card, line)
    DOCUMENTS.entries()[card.sale, line.line_id] = (time.monotonic(), document)
    return document


async def _read_document(card: SaleCard, line: LineCard) -> dict[str, Any]:
    # Read before the line itself: a unit that moves between the two reads counts twice for a moment, and is never
    # missing.
    coming = sum([await _units_left(card, feeder) for feeder in card.feeders(line)])
    return _document(card, line, await _figures(card, line), coming)


async def _figures(card: SaleCard, line: LineCard) -> Survey:
    figures = await scripts.survey(card, line)
    if isinstance(figures, Outcome):
        raise Refused(figures)
    return figures


async def _units_left(card: SaleCard, line: LineCard) -> int:
    """The number of units of a line that may still roll over: free, held, or on their way."""
    figures = await _figures(card, line)
    return sum(figures.free.values()) + figures.held + await inspect.count_moving_units(card, line)


def bytes_at_most(card: SaleCard, line: LineCard) -> int:
    """The greatest length of the line's document, with the card's message and any later counts and settings."""
    figures = Survey(
        wall=_MOMENT, now=_MOMENT, state=SaleState.CALLED_OFF, frozen=True, entered=_COUNT, block=_COUNT,
        cohort=_COUNT, seed="0" * 64, called=_COUNT, lapsed=_COUNT, open_claims=_COUNT, second_claims=_COUNT,
        held=_COUNT, sold=_COUNT, left=_COUNT, called_at=_MOMENT, gaps=0, runs_until=_MOMENT, removed=_COUNT, mark=0,
        expected=1.0, root="0" * 64, round=_COUNT, waits=True,
        free=dict.fromkeys(line.skus, _COUNT),
    )  # fmt: skip
    longest = replace(card, commitment="0" * 64, rate_per_s=_RATE, poll_ms=_COUNT)
    document = _document(longest, line, figures, _COUNT)
    return len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def _document(card: SaleCard, line: LineCard, figures: Survey, coming: int) -> dict[str, Any]:
    current_phase = phase_of(card, figures)
    cohort = figures.cohort if figures.seed or figures.root else None
    return {
        "sale": card.code, "line": line.code, "mode": line.mode, "phase": current_phase, "now": figures.now,
        "opens_at": max(card.opens_at, line.opens_at), "rolls_over_at": line.rolls_over_at or None,
        "closes_at": card.closes_at, "claim_ms": card.claim_ms, "cohort": cohort,
        "entered": figures.entered - figures.gaps, "called": figures.called, "claims": figures.open_claims,
        "free": sum(figures.free.values()), "offers": figures.free, "held": figures.held, "sold": figures.sold,
        "coming": coming, "rate": card.rate_per_s, "commitment": card.commitment, "seed": figures.seed,
        "poll_ms": _poll_ms(card, figures, current_phase), "message": card.message or _late(card, figures),
        "pace": None if card.poll_ms else pace_of(card, line), **_draw(card, figures),
    }  # fmt: skip


def _draw(card: SaleCard, figures: Survey) -> dict[str, Any]:
    """What is public of a draw that commits to its entries: before the numbers are, and from then on."""
    if not card.commits_entries:
        return {}
    known = beacon.chain_of(card.beacon_chain)
    round_at = known.time_of(figures.round) * 1000 if known and figures.round else None
    return {
        "draw": {
            "freezes_at": card.freezes_at, "root": figures.root, "round": figures.round or None, "round_at": round_at,
        }
    }  # fmt: skip


def _late(card: SaleCard, figures: Survey) -> str:
    """What shoppers read while an open sale waits for its beacon, in both languages; "" while nothing is late."""
    if not figures.waits or figures.seed or figures.wall < card.opens_at:
        return ""
    return LATE % {"round": figures.round}


def phase_of(card: SaleCard, figures: Survey) -> Phase:
    """The phase of the sale, from its state in Redis and the line's clock."""
    return sale_phase(
        state=SaleState(figures.state), lobby_at=card.lobby_at, opens_at=card.opens_at, closes_at=card.closes_at,
        now=figures.now,
    )  # fmt: skip


def pace_of(card: SaleCard, line: LineCard) -> int:
    """How many numbers a second the line calls at most; 0: any, because most numbers of a carried line are absent."""
    return 0 if line.carries else polling.pace(card.rate_per_s)


def kept_pace(card: SaleCard, line: LineCard, figures: Survey) -> int:
    """The pace that the line keeps now. When the rate was raised, people rely on the lower one for a minute."""
    is_raised = figures.wall < card.slower_until and card.slower_rate < card.rate_per_s
    return pace_of(replace(card, rate_per_s=card.slower_rate) if is_raised else card, line)


def _poll_ms(card: SaleCard, figures: Survey, current_phase: Phase) -> int:
    """How often pages ask that do not wait for a near number: fast in an open sale and shortly before, else slowly."""
    if card.poll_ms:
        return card.poll_ms
    about_to_open = current_phase is Phase.LOBBY and card.opens_at - figures.now < SOON_MS
    is_soon = current_phase in {Phase.OPEN, Phase.PAUSED} or about_to_open
    return polling.poll_ms(people=figures.entered - figures.gaps, is_soon=is_soon)
