"""What a sale needs follows from measured costs, by formulas that can be checked by hand."""

from dataclasses import replace

import pytest

from flashsale.rules.capacity import Plan, UnitCosts, breaks_first, needs, polls_per_s

COSTS = UnitCosts(
    enter_door_us=100, enter_redis_us=20, order_door_us=3000, order_redis_us=300, order_books_us=2000,
    status_edge_us=15, status_bytes=400, shopper_bytes=90, order_bytes=1000, books_per_s=8000,
)  # fmt: skip
SALE_2021 = Plan(250_000, 50_000, 5, 4, 20)


def by_part(plan: Plan, *, campaigns: int = 1) -> dict[str, float]:
    return {need.part: need.amount for need in needs(plan, COSTS, campaigns=campaigns)}


def test_the_sale_of_2021_gets_the_rate_and_the_polls_that_the_bench_has_measured() -> None:
    # The bench: each line calls 66 people a second; 12,110 status requests a second on average, 42,430 at most.
    assert SALE_2021.rate_per_s == pytest.approx(65.6, abs=0.1)
    mean, highest = polls_per_s(SALE_2021)
    assert mean == pytest.approx(12_110, rel=0.05)
    assert highest == pytest.approx(42_430, rel=0.1)


def test_the_needs_are_work_divided_by_what_a_core_takes() -> None:
    found = by_part(SALE_2021)
    calling_s = 300 - 8.25 - 4 * 20
    orders = 50_000 / calling_s
    assert found["doors"] == pytest.approx(orders * 0.003 / 0.6)
    assert found["Redis, one campaign"] == pytest.approx(orders * 0.0003 / 0.6)
    assert found["PostgreSQL"] == pytest.approx(orders * 0.002 / 0.6)
    assert found["payment gateway"] == pytest.approx(orders)
    assert found["Redis, memory"] == pytest.approx(2 * (250_000 * 90 + 50_000 * 1000) / 2**20)
    assert found["network, at the edge"] == pytest.approx(polls_per_s(SALE_2021)[1] * 1000 * 8 / 1e6)
    assert found["network, at the doors"] == pytest.approx(8 * 1000 * 8 / 1e6)


def test_a_crowd_without_stock_needs_doors_for_entering_alone() -> None:
    found = by_part(replace(SALE_2021, people=6_000_000, units=4))
    assert found["doors"] == pytest.approx(6_000_000 * 0.2 / 60 * 100e-6 / 0.6)
    assert found["PostgreSQL"] < 0.001


def test_more_people_need_no_more_of_postgresql_and_of_the_doors_network() -> None:
    small, large = by_part(SALE_2021), by_part(replace(SALE_2021, people=500_000))
    # The first call is later, because more people read their numbers, so the same orders have a little less time.
    assert large["PostgreSQL"] == pytest.approx(small["PostgreSQL"], rel=0.05)
    assert large["network, at the doors"] == small["network, at the doors"]
    assert large["network, at the edge"] >= small["network, at the edge"]


def test_equal_sales_in_campaigns_of_their_own_add_up_except_for_what_is_on_one_server() -> None:
    one, ten = by_part(SALE_2021), by_part(SALE_2021, campaigns=10)
    assert ten["Redis, one campaign"] == one["Redis, one campaign"]
    assert ten["writer of a sale"] == one["writer of a sale"]
    assert ten["doors"] == pytest.approx(10 * one["doors"])
    assert ten["Redis, all campaigns"] == 2  # eight campaigns of 0.12 servers fit on one


def test_the_part_that_breaks_first_is_the_one_nearest_to_its_limit() -> None:
    assert breaks_first(needs(SALE_2021, COSTS)).part == "Redis, one campaign"
    slow_books = replace(COSTS, books_per_s=300)
    first = breaks_first(needs(SALE_2021, slow_books))
    assert first.part == "writer of a sale"
    assert first.share == pytest.approx(SALE_2021.orders_per_s / 300)


def test_a_plan_that_no_speed_can_keep_is_refused_with_the_time_that_it_needs() -> None:
    with pytest.raises(ValueError, match=r"within 5 minutes.*4 claim windows of 300 s.*Expected: at least 21 minutes"):
        replace(SALE_2021, claim_s=300)
    assert replace(SALE_2021, claim_s=300, minutes=21).calling_s >= 30


def test_costs_that_are_missing_or_no_numbers_are_refused_by_name() -> None:
    document = {"costs": {name: getattr(COSTS, name) for name in UnitCosts.__slots__}}
    assert UnitCosts.of(document) == COSTS
    for wrong in (None, 0, -1, "7", True, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="books_per_s is"):
            UnitCosts.of({"costs": document["costs"] | {"books_per_s": wrong}})
    with pytest.raises(ValueError, match='no "costs"'):
        UnitCosts.of({})
