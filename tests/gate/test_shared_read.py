"""Shared reads: one read for all who ask at the same time, and no caller ends the read of another."""

import asyncio
from typing import Any

import pytest

from flashsale.gate import bridge, sale_cards
from flashsale.gate.shared_read import SharedReads
from tests.gate.floor import CARD


class Reading:
    """A read that lasts until `ends` is set."""

    def __init__(self, result: Any = "value") -> None:
        self.begun, self.ends, self.result = 0, asyncio.Event(), result

    async def __call__(self) -> Any:
        self.begun += 1
        await self.ends.wait()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_all_who_ask_at_the_same_time_share_one_read_and_the_next_one_begins_another() -> None:
    async def crowd() -> tuple[int, set[str]]:
        reads, reading = SharedReads[str, str](), Reading()
        asked = [asyncio.create_task(reads.get("key", reading)) for _ in range(100)]
        await asyncio.sleep(0)
        reading.ends.set()
        found = set(await asyncio.gather(*asked))
        await reads.get("key", reading)
        return reading.begun, found

    assert bridge.run(crowd()) == (2, {"value"})


def test_a_caller_that_is_cancelled_leaves_the_read_to_the_others() -> None:
    async def crowd() -> str:
        reads, reading = SharedReads[str, str](), Reading()
        leaves, stays = (asyncio.create_task(reads.get("key", reading)) for _ in range(2))
        await asyncio.sleep(0)
        leaves.cancel()
        reading.ends.set()
        return await stays

    assert bridge.run(crowd()) == "value"


def test_a_read_that_fails_fails_all_its_callers_and_is_not_kept() -> None:
    async def crowd() -> list[Any]:
        reads, reading = SharedReads[str, str](), Reading(OSError("gone"))
        asked = [asyncio.create_task(reads.get("key", reading)) for _ in range(3)]
        await asyncio.sleep(0)
        reading.ends.set()
        failed = await asyncio.gather(*asked, return_exceptions=True)
        reading.result = "value"
        return [*map(type, failed), await reads.get("key", reading)]

    assert bridge.run(crowd()) == [OSError, OSError, OSError, "value"]


def test_after_forgetting_the_next_caller_does_not_get_the_older_read() -> None:
    async def crowd() -> list[str]:
        reads, older, newer = SharedReads[str, str](), Reading("older"), Reading("newer")
        first = asyncio.create_task(reads.get("key", older))
        await asyncio.sleep(0)
        reads.forget("key")
        second = asyncio.create_task(reads.get("key", newer))
        for reading in (older, newer):
            reading.ends.set()
        return [await first, await second]

    assert bridge.run(crowd()) == ["older", "newer"]


@pytest.mark.usefixtures("gate")
def test_a_thousand_requests_for_a_card_that_is_old_read_redis_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    async def counted(code: str) -> bytes:
        read.append(code)
        await asyncio.sleep(0)
        return CARD.seal()

    monkeypatch.setattr(sale_cards, "_read", counted)

    async def crowd() -> set[str]:
        sale_cards.CARDS.entries().clear()
        cards = await asyncio.gather(*(sale_cards.card_of(CARD.code) for _ in range(1000)))
        sale_cards.CARDS.entries().clear()
        return {card.code for card in cards if card}

    assert bridge.run(crowd()) == {CARD.code}
    assert read == [CARD.code]


@pytest.mark.usefixtures("gate")
def test_a_sale_that_was_asked_for_too_early_is_found_as_soon_as_it_is_stored() -> None:
    async def asked_too_early() -> list[str | None]:
        early = await sale_cards.card_of(CARD.code)
        # Another process stores the card, so this one does not drop what it has kept.
        kept = dict(sale_cards.CARDS.entries())
        await sale_cards.store_card(CARD)
        sale_cards.CARDS.entries().update(kept)
        found = await sale_cards.card_of(CARD.code)
        return [card.code if card else None for card in (early, found)]

    assert bridge.run(asked_too_early()) == [None, CARD.code]
