"""How fair the line is, simulated on the real gate: what many entries, leaving, an outage and the calling do to whom.

The people and their ways are drawn from a seed; the draw itself is the sale's own and differs from run to run. No clock
is faked: the outage is a real pause of a few seconds, and what it shows holds for any length, for the line's clock
stands still meanwhile.
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
from simulation.bench import scene

People = list[Mapping[Axis, bytes]]
RESELLERS = 0.01
ATTEMPTS = 50
FIRST = 1_000
# How many are watched closely, in how many waves all are called, how many walk in and out, and how often.
WATCHED, WAVES, LEAVERS, LOOPS = 300, 40, 100, 3
OUTAGE_PEOPLE, OUTAGE_CLAIM_S, OUTAGE_S = 200, 2, 3.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What the simulation found, beside what fairness asks for; `held` None where it is told for comparison only."""

    what: str
    found: str
    expected: str
    held: bool | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a simulated sale, and who stands in it."""

    card: SaleCard
    line: LineCard
    places: Sequence[Place]


def simulate(*, cohort: int, seed: int, say: Callable[[str], None] = lambda _: None) -> list[Finding]:
    """All findings for a cohort of so many people, one in a hundred of them a reseller."""
    luck = random.Random(seed)
    say(f"{cohort:,} people enter, and {round(cohort * RESELLERS):,} of them {ATTEMPTS} times ...")
    ours, shares = _many_entries(cohort, luck)
    say("Everybody is called, while some leave and come back ...")
    order = bridge.run(_called_in_order(ours, luck))
    say(f"An outage of {OUTAGE_S:g} s, longer than anybody's claim window ...")
    return [*shares, *order, *_outage(luck)]


def _many_entries(cohort: int, luck: random.Random) -> tuple[Line, list[Finding]]:
    """The resellers' share of the first numbers: with one place per identity, and as if each entry were a person."""
    resellers = round(cohort * RESELLERS)
    attempts = [*range(resellers, cohort), *(list(range(resellers)) * ATTEMPTS)]
    luck.shuffle(attempts)
    first = min(FIRST, cohort // 10)
    ours = _enter(_as_persons(attempts, luck))
    with_it = _share(ours, attempts, resellers, first)
    each_a_person = _enter([_somebody(luck) for _ in attempts])
    without = _share(each_a_person, attempts, resellers, first)
    people, entries = resellers / cohort, resellers * ATTEMPTS / len(attempts)
    # What chance alone allows: four standard deviations of a draw of `first` without replacement.
    margin = 4 * (people * (1 - people) / first) ** 0.5
    return ours, [
        Finding("resellers among the people", f"{people:.1%}", ""),
        Finding("resellers among the entries", f"{entries:.1%}", ""),
        Finding(f"their share of the first {first:,} numbers, were each entry a place", f"{without:.1%}", ""),
        Finding(
            f"their share of the first {first:,} numbers, one place an identity",
            f"{with_it:.1%}", f"{people:.1%} ± {margin:.1%}", abs(with_it - people) <= margin,
        ),
        Finding("places given", f"{_entered(ours):,}", f"{cohort:,}", _entered(ours) == cohort),
    ]  # fmt: skip


def _somebody(luck: random.Random) -> Mapping[Axis, bytes]:
    return {axis: luck.randbytes(DIGEST_BYTES) for axis in scene.AXES}


def _as_persons(attempts: Sequence[int], luck: random.Random) -> People:
    """Who comes again brings a new e-mail address and the old phone and card."""
    known: dict[int, Mapping[Axis, bytes]] = {}
    people: People = []
    for person in attempts:
        before = known.setdefault(person, _somebody(luck))
        people.append({**before, Axis.EMAIL: luck.randbytes(DIGEST_BYTES)})
    return people


def _enter(people: People) -> Line:
    """A sale that all of them enter, one after the other, and that opens then."""
    card = scene.sale(scene.campaign(["line"]), units={"line": 1}, max_entries=len(people) + LEAVERS * LOOPS)
    places = bridge.run(scene.fill(card, card.lines[0], people))
    return Line(bridge.run(scene.open_now(card)), card.lines[0], places)


def _share(line: Line, attempts: Sequence[int], resellers: int, first: int) -> float:
    owners = {place.index: person for place, person in zip(line.places, attempts, strict=True)}
    figures = bridge.run(scene.survey(line.card, line.line))
    seed = bytes.fromhex(figures.seed)
    lucky = [owners[lottery.index_of(number, figures.cohort or 0, seed)] for number in range(1, first + 1)]
    return sum(person < resellers for person in lucky) / first


def _entered(line: Line) -> int:
    return bridge.run(scene.survey(line.card, line.line)).entered


async def _called_in_order(line: Line, luck: random.Random) -> list[Finding]:
    """Everybody is called in waves; in between some walk in and out. Who is watched looks after each wave."""
    by_index = sorted({place.index: place for place in line.places}.items())
    chosen = [place for _, place in luck.sample(by_index, min(WATCHED + LEAVERS, len(by_index) // 2))]
    leavers, watched = chosen[: len(chosen) // 4], chosen[len(chosen) // 4 :]
    promised = {place.index: view.number or 0 for place, view in await _looks(line, watched)}
    new_places = await _walk_in_and_out(line, leavers)
    moved = [p.index for p, view in await _looks(line, watched) if view.number != promised[p.index]]
    seen_in = await _call_everybody(line, watched, luck)
    missed = [index for index in promised if index not in seen_in]
    tau = _kendall([(promised[index], wave) for index, wave in seen_in.items()])
    return [
        Finding(
            f"watched people whose number changed while {len(leavers)} walked in and out {new_places} times",
            f"{len(moved)} of {len(watched)}", "0", not moved,
        ),
        Finding("watched people who were not called", f"{len(missed)} of {len(watched)}", "0", not missed),
        Finding("Kendall's tau, promised number and order of calls", f"{tau:.6f}", "1", tau == 1.0),
    ]  # fmt: skip


async def _looks(line: Line, places: Sequence[Place]) -> list[tuple[Place, PlaceView]]:
    views = [await look(card=line.card, line=line.line, place=place) for place in places]
    return list(zip(places, views, strict=True))


async def _walk_in_and_out(line: Line, leavers: Sequence[Place]) -> int:
    """Each leaves and comes back as often as the rules allow, to a new place at the end; how many came back."""
    standing, back = list(leavers), 0
    for _ in range(LOOPS):
        for place in standing:
            await leave(card=line.card, line=line.line, place=place)
        standing = await scene.fill(line.card, line.line, [place.digests for place in standing])
        back += len(standing)
    return back


async def _call_everybody(line: Line, watched: Sequence[Place], luck: random.Random) -> dict[int, int]:
    """The wave in which each of the watched was called first, by index."""
    waiting, seen_in = list(watched), {}
    figures = await scene.survey(line.card, line.line)
    called, wave = figures.called, 0
    while called < figures.entered:
        people = 1 if wave < WAVES // 4 else luck.randint(1, 2 * figures.entered // WAVES)
        answer = await scripts.call(line.card, line.line, seed=figures.seed, called=called, people=people)
        if not isinstance(answer, int):
            raise scene.Unready(f"call: {answer}")
        called, wave = answer, wave + 1
        for place, view in await _looks(line, waiting):
            if view.state is PlaceState.CALLED:
                seen_in[place.index] = wave
        waiting = [place for place in waiting if place.index not in seen_in]
    return seen_in


def _kendall(pairs: Sequence[tuple[int, int]]) -> float:
    """Kendall's tau of numbers and waves; two called in one wave were called at once and say nothing."""
    signs = [(a[0] < b[0]) == (a[1] < b[1]) for a, b in combinations(pairs, 2) if a[1] != b[1]]
    return (2 * sum(signs) - len(signs)) / len(signs) if signs else 1.0


def _outage(luck: random.Random) -> list[Finding]:
    """Two waves are called and nothing can be had for longer than a claim window: once paused, once not."""
    people = [_somebody(luck) for _ in range(2 * OUTAGE_PEOPLE)]
    where = scene.campaign(["line"])
    card = scene.sale(where, units={"line": 1}, claim_s=OUTAGE_CLAIM_S)
    places = bridge.run(scene.fill(card, card.lines[0], people))
    line = Line(bridge.run(scene.open_now(card)), card.lines[0], places)
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
            f"called people (numbers {first} to {last}) who kept their turn over a paused outage of {OUTAGE_S:g} s, "
            f"claim window {OUTAGE_CLAIM_S} s", f"{kept} of {OUTAGE_PEOPLE}", f"{OUTAGE_PEOPLE}", kept == OUTAGE_PEOPLE,
        ),
        Finding("control: who kept their turn as long without a pause", f"{left} of {OUTAGE_PEOPLE}", "0", left == 0),
    ]  # fmt: skip


async def _call_half(line: Line) -> Survey:
    """Calls the next wave; the figures before it."""
    figures = await scene.survey(line.card, line.line)
    await scripts.call(line.card, line.line, seed=figures.seed, called=figures.called, people=OUTAGE_PEOPLE)
    return figures


async def _still_called(line: Line) -> int:
    return sum(view.state is PlaceState.CALLED for _, view in await _looks(line, line.places))
