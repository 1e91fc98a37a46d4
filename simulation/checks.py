"""An outsider's view: the promises recomputed from what was seen from outside. Nothing here asks the system.

Each check says what it found and what it expected, so that a broken promise can be looked up in the files of the story.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from simulation.observations import (
    FOREVER,
    Check,
    Observations,
    ObservedReservation,
    group_by,
    identities,
    make_check,
    max_concurrent,
    observed_reservations,
    reservation_of,
)
from simulation.order_checks import called_first, drawn, nobody_passed_over, one_place

# Between the deadline on the server's clock and the moment the client asked.
CLOCK_SLACK_MS = 250
# A document may be half a second old when it is served; the freshest of so long a time is not.
LATELY_MS = 3000


def everything(observed: Observations) -> list[Check]:
    """All checks, in the order of the promises."""
    held = list(observed_reservations(observed))
    checks = [
        oversold(observed, held),
        conserved(observed),
        limited(observed, held),
        committed(observed, held),
        once(observed),
    ]
    checks += [
        drawn(observed),
        called_first(observed),
        nobody_passed_over(observed),
        one_place(observed),
        late_refused(observed, held),
    ]
    return [*checks, inside_window(observed, held)]


def oversold(observed: Observations, held: list[ObservedReservation]) -> Check:
    """More reservations at one moment than units announced, or one unit with two owners."""
    most = {line: max_concurrent(group) for line, group in group_by(held, lambda one: (one.sale, one.line)).items()}
    broken = [
        f"{sale}/{line}: {count} reservations of {observed.units[sale, line]} units"
        for (sale, line), count in most.items()
        if count > observed.units[sale, line]
    ]
    owners: dict[str, set[str]] = defaultdict(set)
    for row in observed.unit_history:
        if row["reservation"] and not row["cancelled_ms"] and row["state"] in {"held", "confirmed"}:
            owners[row["serial"]].add(row["reservation"])
    broken += [f"{serial} has {len(who)} owners" for serial, who in owners.items() if len(who) > 1]
    sold = sum(one.confirmed for one in held)
    return make_check(
        1, "never oversold (stock)", broken, f"{sold} sold of {sum(observed.units.values())}", "at most the units"
    )


def conserved(observed: Observations) -> Check:
    """free + held + sold is the stock in every document shown."""
    broken, shown = [], 0
    for answer in observed.journal.answers_to("status"):
        units = observed.units.get((answer.sale, answer.line))
        if answer.status != 200 or units is None:
            continue
        shown += 1
        total = sum(int(answer.body[name]) for name in ("free", "held", "sold"))
        rolls = (answer.sale, answer.line) in observed.rolling
        if total > units or (total < units and not rolls):
            broken.append(f"{answer.sale}/{answer.line}: free + held + sold = {total}, not {units}")
    return make_check(
        2, "units are conserved (stock)", broken, f"{shown} documents add up", "free + held + sold = units"
    )


def limited(observed: Observations, held: list[ObservedReservation]) -> Check:
    """Nobody has more than the limit at one moment, over all channels and sales, by phone or by e-mail."""
    people = identities(observed)
    by_value: dict[str, list[ObservedReservation]] = defaultdict(list)
    for one in held:
        for value in people.get(one.who, ()):
            by_value[value].append(one)
    most = {value: max_concurrent(group) for value, group in by_value.items()}
    broken = [f"{value} had {count} at once" for value, count in most.items() if count > observed.limit]
    return make_check(
        3,
        "nobody above the limit",
        broken,
        f"{len(people)} identities, limit {observed.limit}",
        f"at most {observed.limit} each",
    )


def committed(observed: Observations, held: list[ObservedReservation]) -> Check:
    """What was acknowledged stands in the books."""
    states = {row["reservation"]: row["state"] for row in observed.unit_history if row["reservation"]}
    broken = [f"201 for {one.id}, which the books do not have" for one in held if one.id not in states]
    broken += [
        f"{one.id} was confirmed and is {states[one.id]}"
        for one in held
        if one.confirmed and states.get(one.id, "confirmed") not in {"confirmed", "cancelled"}
    ]
    counted = f"{len(held)} reservations, {sum(one.confirmed for one in held)} confirmations"
    return make_check(4, "acknowledged means committed", broken, counted, "all in the books")


def once(observed: Observations) -> Check:
    """The same request again has the same answer; a place makes one reservation."""
    by_key: dict[Any, set[str]] = defaultdict(set)
    by_person: dict[Any, set[str]] = defaultdict(set)
    sent: dict[Any, int] = defaultdict(int)
    for answer in observed.journal.answers_to("reserve"):
        if answer.ok:
            id_ = str(answer.body["reservation"])
            by_key[answer.sale, answer.who, answer.key].add(id_)
            by_person[answer.sale, answer.line, answer.who].add(id_)
            sent[answer.sale, answer.who, answer.key] += 1
    broken = [f"{who} got {len(ids)} reservations for one key" for (_, who, _), ids in by_key.items() if len(ids) > 1]
    broken += [f"{who} got {len(ids)} reservations" for (_, _, who), ids in by_person.items() if len(ids) > 1]
    again = sum(count - 1 for count in sent.values())
    return make_check(
        5, "the same request has one effect", broken, f"{again} repetitions", "the same reservation each time"
    )


def late_refused(observed: Observations, held: list[ObservedReservation]) -> Check:
    """Nothing was confirmed after its hold had expired; a confirmation in time may be repeated.

    Holds run on the line's clock, which stands still while the servers do: the documents show how far it is behind.
    """
    deadlines = {one.id: one.deadline_ms for one in held}
    behind = _behind(observed)
    in_time: set[str] = set()
    broken, late = [], 0
    for answer in sorted(observed.journal.answers_to("confirm"), key=lambda one: one.asked_ms):
        id_ = reservation_of(answer)
        after = answer.asked_ms - behind(answer.sale, answer.asked_ms) - deadlines.get(id_, FOREVER)
        if after <= CLOCK_SLACK_MS:
            # One that got no answer may have been granted: asked again, it is told so.
            in_time |= {id_} if answer.ok or answer.status in {0, 503} else set()
            continue
        late += 1
        if answer.ok and id_ not in in_time:
            broken.append(f"{id_} confirmed {after} ms too late")
    return make_check(
        8, "an expired hold is never confirmed", broken, f"{late} late confirmations refused", "all refused"
    )


def _behind(observed: Observations) -> Callable[[str, int], int]:
    """How far (ms) a sale's clock was behind the wall's at a moment, by the freshest documents just before and after.

    It never catches up, so it was at most as far behind as afterwards.
    """
    shown: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for answer in observed.journal.answers_to("status"):
        if answer.status == 200 and "now" in answer.body:
            shown[answer.sale].append((answer.at_ms, answer.at_ms - int(answer.body["now"])))

    def behind(sale: str, at_ms: int) -> int:
        before = [lag for when, lag in shown[sale] if at_ms - LATELY_MS <= when <= at_ms]
        after = [lag for when, lag in shown[sale] if at_ms < when <= at_ms + LATELY_MS]
        return max(0, min(before, default=0), min(after, default=0))

    return behind


def inside_window(observed: Observations, held: list[ObservedReservation]) -> Check:
    """Every reservation was made between opening and closing."""
    broken = []
    for one in held:
        opens, closes, hold = observed.windows[one.sale]
        made = one.deadline_ms - hold
        if not opens <= made < closes:
            broken.append(f"{one.sale}: made {made - opens} ms after the opening")
    return make_check(9, "nothing outside the window", broken, f"{len(held)} reservations", "opening ≤ made < closing")
