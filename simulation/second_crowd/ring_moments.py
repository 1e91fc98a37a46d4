"""When the accounts of a ring enter, and how fast they reserve and pay."""

from collections.abc import Mapping
from dataclasses import dataclass

from simulation.second_crowd.terms import MINUTE
from simulation.second_crowd.town import Town


class RingMoments:
    """The entries of the orders of one ring (`times`) and the hands that work for it. More accounts enter than win."""

    def __init__(self, town: Town, kind: str, size: int, ways: Mapping[str, str]) -> None:
        self._town = town
        dice, rng, terms = town.dice, town.rng, town.terms
        done = rng.uniform(0.7, 0.9) if "hired" in kind else rng.uniform(0.82, 0.97)
        accounts = max(size, round(size / (terms.called * done)))
        entry = ways["entry"]
        self.hands = 1
        if entry == "manual" or ways["pace"] == "crew":
            self.hands = max(1, round(size / rng.uniform(6, 18)))
        if kind == "small":
            self.hands = rng.choice((1, 1, 2))
        times = [self._in_time(time) for time in self._entries(entry, accounts)]
        winners = set(rng.sample(range(accounts), size))
        times.sort()
        town.moments.losers += (time for at, time in enumerate(times) if at not in winners)
        self.times = [time for at, time in enumerate(times) if at in winners]
        # Whether the hands go from door to door. The draw comes first, so that it is made for every way to enter.
        self.by_door = dice.chance(0.5) and entry in ("manual", "script")

    def _entries(self, way: str, accounts: int) -> list[float]:
        """When the accounts would enter."""
        town, rng = self._town, self._town.rng
        opened = town.terms.opened_ms
        if way == "script":
            return self._by_script(accounts)
        if way == "manual":
            return self._by_hand(accounts)
        if way == "signal":
            signal, median = opened - rng.uniform(20, 420) * 1000, rng.uniform(12, 70) * 1000
            return [town.moments.after(signal, median, 0.8) for _ in range(accounts)]
        first, last = rng.uniform(0, 0.4), rng.uniform(0.75, 0.999)
        return [
            rng.uniform(first, last) * opened if town.dice.chance(0.7) else town.moments.arrival(0)
            for _ in range(accounts)
        ]

    def _by_script(self, accounts: int) -> list[float]:
        """A program lets them enter within seconds to a minute: early, late, on a full minute, or at any time."""
        rng, opened = self._town.rng, self._town.terms.opened_ms
        time = rng.choice(
            (
                rng.uniform(500, 4000),
                opened - rng.uniform(1000, 60_000),
                MINUTE * rng.randint(1, int(opened / MINUTE)),
                rng.uniform(0, opened * 0.98),
            )
        )
        step, times = self._town.dice.around(350, 0.8), []
        for _ in range(accounts):
            time += rng.expovariate(1 / step)
            times.append(time)
        return times

    def _by_hand(self, accounts: int) -> list[float]:
        """Each hand takes one phone after the other."""
        town, rng, hands = self._town, self._town.rng, self.hands
        start = town.moments.arrival(0)
        start = min(start, max(1000, town.terms.opened_ms - accounts / hands * 16_000 * rng.uniform(0.5, 1.6)))
        step, times = rng.uniform(9, 30) * 1000, []
        for hand in range(hands):
            time = start + rng.uniform(0, 20_000)
            for _ in range(hand, accounts, hands):
                times.append(time)
                time += town.dice.around(step, 0.35)
        return times

    def _in_time(self, time: float) -> float:
        """The time, moved into the lobby. Some accounts of a slow sale come after the opening."""
        rng, terms = self._town.rng, self._town.terms
        if 0 < time < terms.opened_ms:
            return time
        if terms.scarce or rng.random() < 0.7:
            return terms.opened_ms - rng.random() * 40_000
        return min(time, terms.opened_ms + 0.5 * terms.sold_in_ms)


@dataclass(frozen=True, slots=True)
class Speed:
    """The pace of one order. None means that the person needs as long as others do."""

    reaction_ms: float | None = None
    paying_ms: float | None = None
    alert: float = 1.0


class RingPace:
    """How fast one ring reserves and pays."""

    def __init__(self, town: Town, way: str) -> None:
        self._town, self.way = town, way
        dice, rng = town.dice, town.rng
        self._bot_reaction, self._bot_paying = dice.around(380, 0.6), dice.around(1300, 0.6)
        if way == "bot" and dice.chance(0.35):  # the program is set to look like a person
            self._bot_reaction, self._bot_paying = rng.uniform(1500, 7000), rng.uniform(4000, 16_000)
        self._reaction_s, self._pay_factor = rng.uniform(3, 12), rng.uniform(0.55, 1.1)
        self._sigma = rng.uniform(0.22, 0.4)

    def speed(self, *, by_bank: bool) -> Speed:
        """The pace of an order. It pays to a virtual account of a bank, or with a wallet."""
        dice, rng = self._town.dice, self._town.rng
        paying_s = (70 if by_bank else 24) * self._town.terms.pay_factor
        if self.way == "bot":
            reaction = dice.around(self._bot_reaction, 0.14)
            return Speed(reaction, dice.around(60_000, 0.35) if by_bank else dice.around(self._bot_paying, 0.18))
        if self.way == "crew":
            reaction = 1000 * dice.around(self._reaction_s, self._sigma)
            return Speed(reaction, 1000 * dice.around(paying_s * self._pay_factor, self._sigma))
        if self.way == "slow":  # slowed on purpose
            reaction = 1000 * min(170, dice.around(self._reaction_s, 0.4) + rng.uniform(0, 90))
            return Speed(reaction, 1000 * (dice.around(paying_s, 0.4) + rng.uniform(0, 420)))
        return Speed(alert=1.5 if self.way == "hired" else 1.0)
