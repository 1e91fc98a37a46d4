"""The current counts of a sale from Redis (the gate): entered, called, free, held, sold."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.life import places, status
from flashsale.rules.outcomes import Refused

COLUMNS = ("entered", "called", "free", "held", "sold")
# The public status document of each line, by the line's code.
LineFigures = Mapping[str, Mapping[str, Any]]


async def _of_sale(code: str) -> LineFigures:
    sale_card = await places.sale_card(code=code)
    documents = await asyncio.gather(*(status.status(card=sale_card, line=line) for line in sale_card.lines))
    return {line.code: document for line, document in zip(sale_card.lines, documents, strict=True)}


async def _of_sales(codes: Sequence[str]) -> dict[str, LineFigures]:
    found: dict[str, LineFigures] = {}
    for code in codes:
        try:
            found[code] = await _of_sale(code)
        except Refused:
            continue
        except GateDown:
            # The next sale would wait for the same timeout.
            break
    return found


def live_figures(codes: Sequence[str]) -> dict[str, LineFigures]:
    """The figures of published sales by their codes. Leaves out the sales for which Redis does not answer."""
    return bridge.run(_of_sales(codes))


def total(figures: LineFigures) -> dict[str, int]:
    """Each column summed over all lines."""
    return {column: sum(_column(figures.values(), column)) for column in COLUMNS}


def _column(documents: Iterable[Mapping[str, Any]], column: str) -> Iterable[int]:
    return (int(document[column] or 0) for document in documents)
