"""Cards of which only some digits are known link people only where chance hardly explains it."""

from random import Random

import pytest

from flashsale.rules.review.chance import BANK_BYTES, by_chance

BANK, OTHER = b"bank", b"else"


def masked(last: int, bank: bytes = BANK) -> bytes:
    return bank + last.to_bytes(12, "big")


def whole(number: int) -> bytes:
    return number.to_bytes(BANK_BYTES, "big") + bytes(12)


@pytest.mark.parametrize(
    ("others", "count", "links"),
    [
        (12, 2, True),
        (13, 2, False),
        (179, 3, True),
        (180, 3, False),
        (1000, 4, False),
        (690, 4, True),
        (5000, 7, False),
        (5000, 8, True),
    ],
)
def test_a_masked_card_links_so_many_orders_among_so_many_of_its_bank(others: int, count: int, links: bool) -> None:
    orders = [masked(0)] * count + [masked(1 + n) for n in range(others)]
    assert by_chance(orders) == (set() if links else {masked(0)})


def test_a_whole_number_and_the_only_card_of_a_bank_always_link() -> None:
    orders = [whole(n % 50) for n in range(100)] + [masked(1)] * 2
    assert by_chance(orders) == set()


def test_another_bank_does_not_count() -> None:
    orders = [masked(0)] * 2 + [masked(1 + n, OTHER) for n in range(500)]
    assert by_chance(orders) == set()


def test_strangers_of_one_bank_are_hardly_ever_linked() -> None:
    chance, linked = Random(2021), 0
    for _sale in range(20):
        orders = [masked(chance.randrange(10_000)) for _ in range(1000)]
        shared = {card for card in orders if orders.count(card) > 1}
        assert len(shared) > 25
        linked += len(shared - by_chance(orders))
    assert linked <= 1
