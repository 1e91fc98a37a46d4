"""Measures on a real Redis how fair the line is: the effect of many entries, of leaving, of calls, and of an outage.

The people and their behaviour follow from a seed. The draw uses the sale's own secret, so it differs from run to run.
No clock is faked: the outage is a real pause of a few seconds. Its result holds for an outage of any length, because
the clock of the line stops during the pause.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from flashsale.gate import bridge, scripts
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import sale_control
from flashsale.life.leave import leave
from flashsale.life.look import PlaceView, look
from flashsale.models import Sale
from flashsale.rules import lottery
from flashsale.rules.identity import DIGEST_BYTES, Axis
from flashsale.rules.states import PlaceState
from flashsale.rules.tokens import Place
from simulation.bench import fixtures

People = list[Mapping[Axis, bytes]]
RESELLERS = 0.01
ATTEMPTS = 50
FIRST = 1_000
# People who are observed, number of waves of calls, people who leave and enter again, and how often they do.
OBSERVED, WAVES, LEAVERS, LOOPS = 300, 40, 100, 3
OUTAGE_PEOPLE, OUTAGE_CLAIM_S, OUTAGE_S = 200, 2, 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """A result and its fair value. `held` is None if the result is only for comparison."""

    what: str
    found: str
    expected: str
    held: bool | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a simulated sale, and the places of its people."""

    card: SaleCard
    line: LineCard
    places: Sequence[Place]


def simulate(*, cohort: int, seed: int, show_progress: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """All findings for a cohort of `cohort` people. One person in a hundred is a reseller."""
    rng = random.Random(seed)
    show_progress(
        f"{cohort:,} people enter; {round(cohort * RESELLERS):,} resellers among them enter {ATTEMPTS} times ..."
    )
    ours, shares = _many_entries(cohort, rng)
    show_progress("All people are called, while some leave and enter again ...")
    order = bridge.run(_called_in_order(ours, rng))
    show_progress(f"An outage of {OUTAGE_S:g} s, longer than every claim window ...")
    return [*shares, *order, *_outage(rng)]


def _many_entries(cohort: int, rng: random.Random) -> tuple[Line, list[Finding]]:
    """The resellers' share of the first numbers: with one place per identity, and if each entry were a new person."""
    resellers = round(cohort * RESELLERS)
    attempts = [*range(resellers, cohort), *(list(range(resellers)) * ATTEMPTS)]
    rng.shuffle(attempts)
    first = min(FIRST, cohort // 10)
    ours = _enter(_as_persons(attempts, rng))
    with_it = _share(ours, attempts, resellers, first)
    each_a_person = _enter([_random_person(rng) for _ in attempts])
    without = _share(each_a_person, attempts, resellers, first)
    people, entries = resellers / cohort, resellers * ATTEMPTS / len(attempts)
    # Differences by chance alone: four standard deviations of a draw of `first` numbers.
    margin = 4 * (people * (1 - people) / first) ** 0.5
    return ours, [
        Finding("resellers among the people", f"{people:.1%}", ""),
        Finding("resellers among the entries", f"{entries:.1%}", ""),
        Finding(f"their share of the first {first:,} numbers, if each entry were a place", f"{without:.1%}", ""),
        Finding(
            f"their share of the first {first:,} numbers, one place an identity",
            f"{with_it:.1%}",
            f"{people:.1%} ± {margin:.1%}",
            abs(with_it - people) <= margin,
        ),
        Finding("places given", f"{_entered(ours):,}", f"{cohort:,}", _entered(ours) == cohort),
    ]


def _random_person(rng: random.Random) -> Mapping[Axis, bytes]:
    return {axis: rng.randbytes(DIGEST_BYTES) for axis in fixtures.AXES}


def _as_persons(attempts: Sequence[int], rng: random.Random) -> People:
    """A person who enters again uses a new e-mail address, but the same phone and card."""
    known: dict[int, Mapping[Axis, bytes]] = {}
    people: People = []
    for person in attempts:
        before = known.setdefault(person, _random_person(rng))
        people.append({**before, Axis.EMAIL: rng.randbytes(DIGEST_BYTES)})
    return people


def _enter(people: People) -> Line:
    """Makes a sale, lets all people enter, and opens it."""
    card = fixtures.sale(fixtures.campaign(["line"]), units={"line": 1}, max_entries=len(people) + LEAVERS * LOOPS)
    places = bridge.run(fixtures.fill(card, card.lines[0], people))
    return Line(bridge.run(fixtures.open_now(card)), card.lines[0], places)


def _share(line: Line, attempts: Sequence[int], resellers: int, first: int) -> float:
    owners = {place.index: person for place, person in zip(line.places, attempts, strict=True)}
    figures = bridge.run(fixtures.survey(line.card, line.line))
    seed = bytes.fromhex(figures.seed)
    lucky = [owners[lottery.index_of(number, figures.cohort or 0, seed)] for number in range(1, first + 1)]
    return sum(person < resellers for person in lucky) / first


def _entered(line: Line) -> int:
    return bridge.run(fixtures.survey(line.card, line.line)).entered


async def _called_in_order(line: Line, rng: random.Random) -> list[Finding]:
    """Calls all people in waves. Before that, some leave and enter again. Observed people look after each wave."""
    by_index = sorted({place.index: place for place in line.places}.items())
    chosen = [place for _, place in rng.sample(by_index, min(OBSERVED + LEAVERS, len(by_index) // 2))]
    leavers, observed = chosen[: len(chosen) // 4], chosen[len(chosen) // 4 :]
    promised = {place.index: view.number or 0 for place, view in await _looks(line, observed)}
    new_places = await _leave_and_enter_again(line, leavers)
    moved = [p.index for p, view in await _looks(line, observed) if view.number != promised[p.index]]
    wave_by_index = await _call_all(line, observed, rng)
    missed = [index for index in promised if index not in wave_by_index]
    tau = _kendall([(promised[index], wave) for index, wave in wave_by_index.items()])
    return [
        Finding(
            f"observed people whose number changed ({len(leavers)} others left and entered again {new_places} times)",
            f"{len(moved)} of {len(observed)}",
            "0",
            not moved,
        ),
        Finding("observed people who were not called", f"{len(missed)} of {len(observed)}", "0", not missed),
        Finding("Kendall's tau, promised number and order of calls", f"{tau:.6f}", "1", tau == 1.0),
    ]


async def _looks(line: Line, places: Sequence[Place]) -> list[tuple[Place, PlaceView]]:
    views = [await look(card=line.card, line=line.line, place=place) for place in places]
    return list(zip(places, views, strict=True))


async def _leave_and_enter_again(line: Line, leavers: Sequence[Place]) -> int:
    """Each leaver leaves and enters again LOOPS times, each time at the end. Returns the number of new places."""
    standing, back = list(leavers), 0
    for _ in range(LOOPS):
        for place in standing:
            await leave(card=line.card, line=line.line, place=place)
        standing = await fixtures.fill(line.card, line.line, [place.digests for place in standing])
        back += len(standing)
    return back


async def _call_all(line: Line, observed: Sequence[Place], rng: random.Random) -> dict[int, int]:
    """Calls all people in waves. Returns, by index, the first wave in which an observed person was called."""
    waiting, wave_by_index = list(observed), {}
    figures = await fixtures.survey(line.card, line.line)
    called, wave = figures.called, 0
    while called < figures.entered:
        people = 1 if wave < WAVES // 4 else rng.randint(1, 2 * figures.entered // WAVES)
        answer = await scripts.call(line.card, line.line, seed=figures.seed, called=called, people=people)
        if not isinstance(answer, int):
            raise fixtures.FixtureError(f"call: {answer}")
        called, wave = answer, wave + 1
        for place, view in await _looks(line, waiting):
            if view.state is PlaceState.CALLED:
                wave_by_index[place.index] = wave
        waiting = [place for place in waiting if place.index not in wave_by_index]
    return wave_by_index


def _kendall(pairs: Sequence[tuple[int, int]]) -> float:
    """Kendall's tau of numbers and waves. Ignores pairs of one wave, because they were called at the same time."""
    signs = [(a[0] < b[0]) == (a[1] < b[1]) for a, b in combinations(pairs, 2) if a[1] != b[1]]
    return (2 * sum(signs) - len(signs)) / len(signs) if signs else 1.0


def _outage(rng: random.Random) -> list[Finding]:
    """Calls two waves and lets more than a claim window pass: once with the sale paused, once without a pause."""
    people = [_random_person(rng) for _ in range(2 * OUTAGE_PEOPLE)]
    where = fixtures.campaign(["line"])
    card = fixtures.sale(where, units={"line": 1}, claim_s=OUTAGE_CLAIM_S)
    places = bridge.run(fixtures.fill(card, card.lines[0], people))
    line = Line(bridge.run(fixtures.open_now(card)), card.lines[0], places)
    sale = Sale.objects.get(pk=card.sale)
    before = bridge.run(_call_half(line))
    sale_control.pause(sale=sale, message="outage")
    bridge.run(asyncio.sleep(OUTAGE_S))
    sale_control.resume(sale=sale)
    kept = bridge.run(_still_called(line))
    first, last = before.called + 1, before.called + OUTAGE_PEOPLE
    bridge.run(_call_half(line))
    bridge.run(asyncio.sleep(OUTAGE_S))
    left = bridge.run(_still_called(line))
    return [
        Finding(
            f"called people (numbers {first} to {last}) who kept their turn during a paused outage of {OUTAGE_S:g} s, "
            f"claim window {OUTAGE_CLAIM_S} s",
            f"{kept} of {OUTAGE_PEOPLE}",
            f"{OUTAGE_PEOPLE}",
            kept == OUTAGE_PEOPLE,
        ),
        Finding(
            "control: people who kept their turn for so long without a pause",
            f"{left} of {OUTAGE_PEOPLE}",
            "0",
            left == 0,
        ),
    ]


async def _call_half(line: Line) -> Survey:
    """Calls the next wave. Returns the counters before it."""
    figures = await fixtures.survey(line.card, line.line)
    await scripts.call(line.card, line.line, seed=figures.seed, called=figures.called, people=OUTAGE_PEOPLE)
    return figures


async def _still_called(line: Line) -> int:
    return sum(view.state is PlaceState.CALLED for _, view in await _looks(line, line.places))
