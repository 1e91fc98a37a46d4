"""Capacity: what a sale needs of doors, Redis, PostgreSQL, nginx and the gateway, from the costs of a unit of work.

The costs are CPU seconds of one core of the machine on which `manage.py bench` measured them, so a faster core needs
less. The load follows from the rules of the line: when people poll (polling.py), and how fast a line calls.

A core counts as full at SHARE_OF_CORE, because a queue before a core that has more work than that grows quickly:
the mean wait of an M/M/1 queue is share ÷ (1 − share) times the work (1.5 times at 0.6, 9 times at 0.9).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from flashsale.rules import polling
from flashsale.rules.polling import Status

SHARE_OF_CORE = 0.6
# Each nginx asks the doors at most so often for the status of a line.
ORIGIN_PER_S = 2
# Headers of a response, TLS and TCP, in bytes. The document itself is in the costs.
ENVELOPE_BYTES = 600
# Redis needs room for what it writes while it makes its file anew, and for the pages that change meanwhile.
MEMORY_SPARE = 2.0
# How many numbers and moments stand for all when polls are counted.
NUMBERS, MOMENTS = 400, 60
# In less time no line has called all its people.
CALLING_S_MIN = 30


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """What `manage.py bench` measured. Microseconds of CPU, bytes, and rates a second.

    `enter_*`: a person enters the line. `order_*`: a unit is looked at, reserved and paid, with the ticks of its sale.
    `status_edge_us`: nginx answers a request for a status. `books_per_s`: reservations that the writer of one sale
    commits.
    """

    enter_door_us: float
    enter_redis_us: float
    order_door_us: float
    order_redis_us: float
    order_books_us: float
    status_edge_us: float
    status_bytes: float
    shopper_bytes: float
    order_bytes: float
    books_per_s: float

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """The costs in a document {"costs": {name: number}}. Raises ValueError, which names what is missing."""
        costs = document.get("costs")
        if not isinstance(costs, Mapping):
            raise ValueError('no "costs" in it')  # noqa: TRY004 - all faults of a file are one kind for the caller
        names = [field.name for field in fields(cls)]
        for name in names:
            value = costs.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}, not a number above 0")
        return cls(**{name: float(costs[name]) for name in names})


@dataclass(frozen=True, slots=True)
class Plan:
    """A sale: people, units, the minutes within which all units are sold, its lines, and its claim window.

    `no_shows`: the part of called people who do not come. `in_busiest_minute`: the part of all people who enter in the
    busiest minute; in a flash sale that is one of the last before the opening.

    Raises ValueError, in words for the operator, if the units cannot be sold in that time at any speed.
    """

    people: int
    units: int
    minutes: float
    lines: int
    claim_s: int
    no_shows: float = 0.1
    in_busiest_minute: float = 0.2

    def __post_init__(self) -> None:
        if self.calling_s < CALLING_S_MIN:
            needed = self.first_call_s + self.last_windows * self.claim_s + CALLING_S_MIN
            raise ValueError(
                f"The units cannot be sold within {self.minutes:g} minutes. The first people are called "
                f"{self.first_call_s:.0f} s after the opening, so that all can read their numbers before, and "
                f"{self.last_windows} claim windows of {self.claim_s} s pass until the units of people who do not come "
                f"are sold. Expected: at least {math.ceil(needed / 60)} minutes, or a shorter claim window "
                f"(at least {polling.CLAIM_MS_MIN // 1000} s), or more lines."
            )

    @property
    def entries_per_s(self) -> float:
        """People who enter in a second of the busiest minute."""
        return self.people * self.in_busiest_minute / 60

    @property
    def orders_per_s(self) -> float:
        """Units that are reserved and paid in a second, while the lines call."""
        return self.units / self.calling_s

    @property
    def first_call_s(self) -> float:
        """How long after the opening the first people are called (polling.py)."""
        return polling.first_call_delay_ms(people=self.people // self.lines, claim_ms=self.claim_s * 1000) / 1000

    @property
    def calling_s(self) -> float:
        """The seconds in which the lines call people for the first time."""
        return self.minutes * 60 - self.first_call_s - self.last_windows * self.claim_s

    @property
    def last_windows(self) -> int:
        """Claim windows after the last first call: units of people who do not come go to others.

        Some of those do not come either. At most four: what is left then is a part of ten thousand.
        """
        left, rounds = self.units * self.no_shows, 0
        while left >= 1 and rounds < 4:
            left, rounds = left * self.no_shows, rounds + 1
        return rounds

    @property
    def rate_per_s(self) -> float:
        """People whom each line calls in a second."""
        return self.orders_per_s / self.lines / (1 - self.no_shows)


@dataclass(frozen=True, slots=True)
class Need:
    """One part and what it needs: `amount` in `unit`, and in words why.

    `share`: the need as part of what one server of its kind can do, for parts that cannot be split. Above 1 it does
    not fit.
    """

    part: str
    amount: float
    unit: str
    why: str
    share: float | None = None


def needs(plan: Plan, costs: UnitCosts, *, campaigns: int = 1) -> list[Need]:
    """What a sale needs. `campaigns`: equal sales at the same time, each in a campaign of its own."""
    at_once = max(1, campaigns)
    return [need for part in (_doors, _redis, _books, _edge, _gateway) for need in part(plan, costs, at_once)]


def breaks_first(found: list[Need]) -> Need:
    """The part that is nearest to what one of its kind can do, or furthest above it."""
    return max((need for need in found if need.share is not None), key=lambda need: need.share or 0)


def _doors(plan: Plan, costs: UnitCosts, sales: int) -> Iterator[Need]:
    entering = plan.entries_per_s * costs.enter_door_us / 1e6
    selling = plan.orders_per_s * costs.order_door_us / 1e6
    what = "entering" if entering > selling else "selling"
    yield Need(
        "doors", sales * max(entering, selling) / SHARE_OF_CORE, "cores",
        f"{plan.entries_per_s * sales:,.0f} people enter a second in the busiest minute, "
        f"{plan.orders_per_s * sales:,.0f} orders a second later; {what} needs more",
    )  # fmt: skip


def _redis(plan: Plan, costs: UnitCosts, sales: int) -> Iterator[Need]:
    entering = plan.entries_per_s * costs.enter_redis_us / 1e6
    selling = plan.orders_per_s * costs.order_redis_us / 1e6
    share = max(entering, selling) / SHARE_OF_CORE
    yield Need(
        "Redis, one campaign",
        share,
        "cores",
        "a campaign is on one server, which uses one core for its commands",
        share,
    )
    if sales > 1:
        yield Need(
            "Redis, all campaigns",
            math.ceil(sales / max(1, int(1 / share))),
            "servers",
            f"{sales:,} campaigns, each whole on one server of a Cluster",
        )
    memory = (plan.people * costs.shopper_bytes + plan.units * costs.order_bytes) * MEMORY_SPARE * sales
    yield Need(
        "Redis, memory", memory / 2**20, "MiB",
        f"{costs.shopper_bytes:,.0f} bytes a person, {costs.order_bytes:,.0f} an order; the same again for its file",
    )  # fmt: skip


def _books(plan: Plan, costs: UnitCosts, sales: int) -> Iterator[Need]:
    yield Need(
        "PostgreSQL", sales * plan.orders_per_s * costs.order_books_us / 1e6 / SHARE_OF_CORE, "cores",
        f"{plan.orders_per_s * sales:,.0f} orders a second; the crowd that waits costs nothing",
    )  # fmt: skip
    yield Need(
        "writer of a sale", plan.orders_per_s, "orders/s",
        f"one sale commits {costs.books_per_s:,.0f} a second at most, because its row is locked",
        plan.orders_per_s / costs.books_per_s,
    )  # fmt: skip


def _edge(plan: Plan, costs: UnitCosts, sales: int) -> Iterator[Need]:
    mean, highest = polls_per_s(plan)
    size = costs.status_bytes + ENVELOPE_BYTES
    yield Need(
        "nginx, status", sales * highest * costs.status_edge_us / 1e6 / SHARE_OF_CORE, "cores",
        f"{highest * sales:,.0f} requests in the busiest second, {mean * sales:,.0f} on average while the lines call",
    )  # fmt: skip
    yield Need(
        "network, at the edge", sales * highest * size * 8 / 1e6, "Mbit/s",
        f"{size:,.0f} bytes a request in the busiest second; {mean * sales * size * 8 / 1e6:,.0f} Mbit/s on average",
    )  # fmt: skip
    origin = ORIGIN_PER_S * plan.lines * sales
    yield Need(
        "network, at the doors", origin * size * 8 / 1e6, "Mbit/s",
        f"{origin:,} status requests a second from each nginx, however many people wait",
    )  # fmt: skip


def _gateway(plan: Plan, costs: UnitCosts, sales: int) -> Iterator[Need]:  # noqa: ARG001 - all parts are called alike
    yield Need(
        "payment gateway", plan.orders_per_s * sales, "payments/s",
        "ask your provider for this pace, or give the sale more minutes: payments wait for their turn",
    )  # fmt: skip


def polls_per_s(plan: Plan) -> tuple[float, float]:
    """Status requests a second of the whole crowd: on average while the lines call, and in the busiest second.

    Each person asks again after `next_poll_ms`. The person with a number asks 1 ÷ that time in a second, so the rate is
    the sum over all numbers that wait. The busiest second is that of the draw, when the people of a line ask for their
    numbers, each at a time of their own within `spread_ms`.
    """
    line_people = plan.people // plan.lines
    rate = max(1, math.ceil(plan.rate_per_s))
    sum_of_rates = 0.0
    for moment in range(MOMENTS):
        now = round((plan.first_call_s + plan.calling_s * (moment + 0.5) / MOMENTS) * 1000)
        called = min(line_people, round(rate * plan.calling_s * (moment + 0.5) / MOMENTS))
        status = Status(
            opens_at=0, entered=line_people, called=called, claim_ms=plan.claim_s * 1000,
            poll_ms=polling.poll_ms(people=line_people, is_soon=True), pace=polling.pace(rate),
        )  # fmt: skip
        waiting = line_people - called
        for sample in range(NUMBERS):
            number = called + 1 + int(waiting * (sample + 0.5) / NUMBERS)
            wait_ms = polling.next_poll_ms(status, now=now, number=number, waiting=True, random=0.5)
            sum_of_rates += waiting / NUMBERS / wait_ms * 1000
    mean = plan.lines * sum_of_rates / MOMENTS
    at_the_draw = plan.lines * line_people / max(1.0, polling.spread_ms(line_people) / 1000)
    return mean, max(mean, at_the_draw)
