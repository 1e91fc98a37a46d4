"""When the people of the second crowd enter, reserve and pay."""

from simulation.second_crowd.dice import Dice
from simulation.second_crowd.terms import Terms

# The median time to pay, in seconds.
PAYING_S = {"card": 44, "wallet": 22, "va": 80, "qris": 52, "credit": 26, "shop": 30}


class Moments:
    """Times in milliseconds after the opening of the lobby. `losers` are the times of entries that get no unit."""

    def __init__(self, dice: Dice, terms: Terms) -> None:
        self._dice, self._rng, self._terms = dice, dice.rng, terms
        self.losers: list[float] = []

    def arrival(self, late: float | None = None) -> float:
        """When a person enters who acts alone. `late` is the probability of entering after the opening."""
        dice, rng, terms = self._dice, self._rng, self._terms
        if dice.chance(terms.late if late is None else late):
            while True:
                at = terms.opened_ms + rng.expovariate(1 / terms.late_mean_ms)
                if at < terms.opened_ms + 0.9 * terms.sold_in_ms:
                    return at
        while True:
            how = rng.random()
            if how < terms.early:
                at = terms.opened_ms * rng.random() ** 0.8
            elif how < 0.82:
                at = terms.opened_ms - rng.expovariate(1 / terms.ramp_ms)
            else:
                at = rng.choice(terms.push_ms) + dice.around(12_000, 0.8)
            if 0 < at < terms.opened_ms:
                return at

    def after(self, moment: float, median_ms: float, sigma: float) -> float:
        """When a person enters after a message or a neighbour. In a scarce sale, this is before the opening."""
        terms = self._terms
        last = terms.opened_ms if terms.scarce else terms.opened_ms + 0.8 * terms.sold_in_ms
        for _ in range(20):
            at = moment + self._dice.around(median_ms, sigma)
            if at < last:
                return max(1, at)
        return max(1, terms.opened_ms - self._rng.random() * 20_000)

    def winners(self, people: int, boost: float = 1.0) -> int:
        """How many people of an honest group get an order: one at least."""
        share = min(0.96, self._terms.called * min(0.95, self._terms.done * boost))
        return max(1, sum(self._dice.chance(share) for _ in range(people)))

    def together(
        self, people: int, winners: int, median_ms: float | None = None, sigma: float = 0.8, alone: float = 0.4
    ) -> list[float]:
        """When the winners of a group enter. Some enter together; the share `alone` enters at times of its own."""
        first, median = self.arrival(), median_ms or self._dice.around(25_000, 0.6)
        times = [
            self.arrival() if self._dice.chance(alone) else self.after(first, median, sigma) for _ in range(people)
        ]
        return self.divided(times, winners)

    def divided(self, times: list[float], winners: int) -> list[float]:
        """The times of the winners, in no order. The others lose."""
        self._rng.shuffle(times)
        self.losers += times[winners:]
        return times[:winners]

    def reacting(self, alert: float = 1.0) -> float:
        """The time from the call to reserving. People who watch are fast; others come back to the page."""
        while True:
            watching = self._dice.chance(0.68)
            seconds = (
                self._dice.around(self._terms.reaction_s / alert, 0.55)
                if watching
                else self._dice.around(40 / alert, 0.8)
            )
            if 0.9 < seconds < 175:
                return seconds * 1000

    def paying(self, method: str) -> float:
        """The time from reserving to paying."""
        while True:
            seconds = self._dice.around(PAYING_S[method] * self._terms.pay_factor, 0.5)
            if 2.2 < seconds < 870:
                return seconds * 1000
