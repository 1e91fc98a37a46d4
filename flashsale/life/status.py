"""Status: one public document per line, the same for everyone, so that any cache can serve it."""

import json
import time
from dataclasses import replace
from typing import Any

from flashsale.gate import inspect, scripts
from flashsale.gate.client import gate
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import Phase, SaleState, sale_phase

# However many ask, a line is surveyed twice a second and process at most.
FRESH_S = 0.5
POLL_CALM_MS = 10_000
POLL_SOON_MS = 2_000
SOON_MS = 60_000
# It goes to everybody every few seconds: with its headers it fits into one packet.
BYTES_MAX = 1024
# As long as any count or moment can become: a direct line counts to two million, and moments have 13 digits until 2286.
_COUNT, _MOMENT = 9_999_999, 9_999_999_999_999


async def status(*, card: SaleCard, line: LineCard) -> dict[str, Any]:
    """The document of a line, at most half a second old; refuses NOT_READY."""
    shown: dict[tuple[int, int], tuple[float, dict[str, Any]]] = gate().kept["status"]
    at, document = shown.get((card.sale, line.line_id), (0.0, {}))
    if time.monotonic() - at > FRESH_S:
        document = await _survey(card, line)
        shown[card.sale, line.line_id] = (time.monotonic(), document)
    return document


async def _survey(card: SaleCard, line: LineCard) -> dict[str, Any]:
    # Before the line itself: what comes over meanwhile counts twice for a moment, and never as gone.
    coming = sum([await _left(card, feeder) for feeder in card.feeders(line)])
    return _document(card, line, await _figures(card, line), coming)


async def _figures(card: SaleCard, line: LineCard) -> Survey:
    figures = await scripts.survey(card, line)
    if isinstance(figures, Outcome):
        raise Refused(figures)
    return figures


async def _left(card: SaleCard, line: LineCard) -> int:
    """How many units of a line may still roll over."""
    figures = await _figures(card, line)
    return sum(figures.free.values()) + figures.held + await inspect.moving(card, line)


def bytes_at_most(card: SaleCard, line: LineCard) -> int:
    """How long the line's document may become with the card's message, whatever is counted and set later."""
    figures = Survey(
        wall=_MOMENT, now=_MOMENT, state=SaleState.CALLED_OFF, frozen=True, entered=_COUNT, block=_COUNT,
        cohort=_COUNT, seed="0" * 64, called=_COUNT, lapsed=_COUNT, open_claims=_COUNT, held=_COUNT, sold=_COUNT,
        left=_COUNT, called_at=_MOMENT, gaps=0, runs_until=_MOMENT, removed=_COUNT,
        free=dict.fromkeys(line.skus, _COUNT),
    )  # fmt: skip
    longest = replace(card, commitment="0" * 64, rate_per_s=_COUNT, poll_ms=_COUNT)
    document = _document(longest, line, figures, _COUNT)
    return len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


def _document(card: SaleCard, line: LineCard, figures: Survey, coming: int) -> dict[str, Any]:
    stands = phase_of(card, figures)
    return {
        "sale": card.code, "line": line.code, "mode": line.mode, "phase": stands, "now": figures.now,
        "opens_at": max(card.opens_at, line.opens_at), "rolls_over_at": line.rolls_over_at or None,
        "closes_at": card.closes_at, "claim_ms": card.claim_ms, "cohort": figures.cohort if figures.seed else None,
        "entered": figures.entered - figures.gaps, "called": figures.called, "claims": figures.open_claims,
        "free": sum(figures.free.values()), "offers": figures.free, "held": figures.held, "sold": figures.sold,
        "coming": coming, "rate": card.rate_per_s, "commitment": card.commitment, "seed": figures.seed,
        "poll_ms": _poll_ms(card, figures, stands), "message": card.message,
    }  # fmt: skip


def phase_of(card: SaleCard, figures: Survey) -> Phase:
    """Where the sale stands, by the gate's state and the line's clock."""
    return sale_phase(
        state=SaleState(figures.state), lobby_at=card.lobby_at, opens_at=card.opens_at, closes_at=card.closes_at,
        now=figures.now,
    )  # fmt: skip


def _poll_ms(card: SaleCard, figures: Survey, stands: Phase) -> int:
    """Calm while nothing can happen soon; every two seconds around the opening and while people are called."""
    if card.poll_ms:
        return card.poll_ms
    soon = stands is Phase.OPEN or (stands is Phase.LOBBY and card.opens_at - figures.now < SOON_MS)
    return POLL_SOON_MS if soon else POLL_CALM_MS
