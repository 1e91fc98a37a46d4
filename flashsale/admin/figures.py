"""What the gate says of a sale this second, as the admin shows it."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.life import places, status
from flashsale.rules.outcomes import Refused

COLUMNS = ("entered", "called", "free", "held", "sold")
Figures = Mapping[str, Mapping[str, Any]]


async def _of(code: str) -> Figures:
    card = await places.sale_card(code=code)
    documents = await asyncio.gather(*(status.status(card=card, line=line) for line in card.lines))
    return {line.code: document for line, document in zip(card.lines, documents, strict=True)}


async def _many(codes: Sequence[str]) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    for code in codes:
        try:
            found[code] = await _of(code)
        except Refused:
            continue
        except GateDown:
            # Each of the others would keep the page waiting as long as this one did.
            break
    return found


def many(codes: Sequence[str]) -> dict[str, Figures]:
    """Status by line of published sales by code; without those for which the gate cannot answer."""
    return bridge.run(_many(codes))


def total(figures: Figures) -> dict[str, int]:
    """The columns summed over all lines."""
    return {column: sum(_numbers(figures.values(), column)) for column in COLUMNS}


def _numbers(documents: Iterable[Mapping[str, Any]], column: str) -> Iterable[int]:
    return (int(document[column] or 0) for document in documents)
