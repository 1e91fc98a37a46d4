"""Recomputes the promises from observations of an outsider. Does not query the system.

Each check says what it found and what it expected, so that a reader can find a broken promise in the story's files.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from flashsale.rules.clock import hold_grace_ms
from simulation.journal import BEGIN, CONFIRM
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
from simulation.order_checks import called_first, committed_first, drawn, none_passed_over, one_place

# Allowed difference between the server's clock and the client's clock.
CLOCK_SLACK_MS = 250
# A status document may be half a second old when it is served. The freshest one in this time is newer.
FRESHEST_WITHIN_MS = 3000


def check_all(observed: Observations) -> list[Check]:
    """All checks, in about the order of the promises."""
    reservations = list(observed_reservations(observed))
    checks = [
        oversold(observed, reservations),
        conserved(observed),
        limited(observed, reservations),
        committed(observed, reservations),
        once(observed),
    ]
    checks += [
        drawn(observed),
        committed_first(observed),
        called_first(observed),
        none_passed_over(observed),
        one_place(observed),
        late_refused(observed, reservations),
    ]
    return [*checks, inside_window(observed, reservations)]


def oversold(observed: Observations, reservations: list[ObservedReservation]) -> Check:
    """No line has more reservations at one moment than announced units, and no unit has two owners."""
    most = {
        line: max_concurrent(group) for line, group in group_by(reservations, lambda one: (one.sale, one.line)).items()
    }
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
    sold = sum(one.confirmed for one in reservations)
    return make_check(
        1, "never oversold (stock)", broken, f"{sold} sold of {sum(observed.units.values())}", "at most the units"
    )


def conserved(observed: Observations) -> Check:
    """free + held + sold is the announced stock in every status document."""
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


def limited(observed: Observations, reservations: list[ObservedReservation]) -> Check:
    """No phone and no e-mail has more than the limit at one moment, over all channels and sales."""
    people = identities(observed)
    by_value: dict[str, list[ObservedReservation]] = defaultdict(list)
    for one in reservations:
        for value in people.get(one.who, ()):
            by_value[value].append(one)
    most = {value: max_concurrent(group) for value, group in by_value.items()}
    broken = [f"{value} had {count} at once" for value, count in most.items() if count > observed.limit]
    return make_check(
        3,
        "no identity above the limit",
        broken,
        f"{len(people)} identities, limit {observed.limit}",
        f"at most {observed.limit} each",
    )


def committed(observed: Observations, reservations: list[ObservedReservation]) -> Check:
    """Every acknowledged reservation and confirmation is in the database."""
    states = {row["reservation"]: row["state"] for row in observed.unit_history if row["reservation"]}
    broken = [f"201 for {one.id}, which is not in the database" for one in reservations if one.id not in states]
    broken += [
        f"{one.id} was confirmed and is {states[one.id]}"
        for one in reservations
        if one.confirmed and states.get(one.id, "confirmed") not in {"confirmed", "cancelled"}
    ]
    counted = f"{len(reservations)} reservations, {sum(one.confirmed for one in reservations)} confirmations"
    return make_check(4, "acknowledged means committed", broken, counted, "all in the database")


def once(observed: Observations) -> Check:
    """A repeated request has the same answer, and a place makes one reservation."""
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


def late_refused(observed: Observations, reservations: list[ObservedReservation]) -> Check:
    """No hold is confirmed, and no payment begins, after it expired. What came in time may be repeated later.

    A partner may confirm for a little longer (`hold_grace_ms`), because its confirmation in time may have been lost.
    Holds run on the clock of the line, which stops while the servers are down. The status documents show how far it is
    behind.
    """
    deadlines = {one.id: one.deadline_ms for one in reservations}
    behind = _behind(observed)
    in_time: set[str] = set()
    broken, late = [], 0
    for answer in sorted(observed.journal.answers_to(CONFIRM, BEGIN), key=lambda one: one.asked_ms):
        id_ = reservation_of(answer)
        after = answer.asked_ms - behind(answer.sale, answer.asked_ms) - deadlines.get(id_, FOREVER)
        if answer.verb == CONFIRM:
            after -= hold_grace_ms(observed.windows[answer.sale][2])
        if after <= CLOCK_SLACK_MS:
            # A request without an answer may have been accepted; a repetition then gets the same answer.
            in_time |= {id_} if answer.ok or answer.status in {0, 503} else set()
            continue
        late += 1
        if answer.ok and id_ not in in_time:
            broken.append(f"{id_} confirmed {after} ms too late")
    return make_check(
        8, "an expired hold is never confirmed", broken, f"late confirmations: {late}, all refused", "all refused"
    )


def _behind(observed: Observations) -> Callable[[str, int], int]:
    """Returns a function: by how many ms a sale's clock was behind real time at a moment.

    It uses the freshest documents shortly before and after the moment. The clock never catches up, so it was at most as
    far behind as in the later document.
    """
    shown: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for answer in observed.journal.answers_to("status"):
        if answer.status == 200 and "now" in answer.body:
            shown[answer.sale].append((answer.at_ms, answer.at_ms - int(answer.body["now"])))

    def behind(sale: str, at_ms: int) -> int:
        before = [lag for when, lag in shown[sale] if at_ms - FRESHEST_WITHIN_MS <= when <= at_ms]
        after = [lag for when, lag in shown[sale] if at_ms < when <= at_ms + FRESHEST_WITHIN_MS]
        return max(0, min(before, default=0), min(after, default=0))

    return behind


def inside_window(observed: Observations, reservations: list[ObservedReservation]) -> Check:
    """Every reservation was made between the opening and the closing of its sale."""
    broken = []
    for one in reservations:
        opens, closes, hold = observed.windows[one.sale]
        made = one.deadline_ms - hold
        if not opens <= made < closes:
            broken.append(f"{one.sale}: made {made - opens} ms after the opening")
    return make_check(
        9, "no reservation outside the window", broken, f"{len(reservations)} reservations", "opening ≤ made < closing"
    )


def refunded(observed: Observations) -> Check:
    """Every refund that was asked of a partner was answered, once, and the system shows it as done."""
    shown: dict[str, str] = {}
    answered: set[str] = set()
    broken = []
    for answer in observed.journal.answers_to("cancelled orders", "refund"):
        if answer.verb == "refund":
            answered.add(str(answer.sent["refund"]))
            broken += [f"the answer for {answer.sent['refund']} got {answer.status} {answer.code}"] * (not answer.ok)
        orders = answer.body.get("results", [answer.body])
        for order in orders if answer.ok else ():
            shown |= {refund["reference"]: refund["state"] for refund in (order["payment"] or {}).get("refunds", ())}
    broken += [f"{reference} was answered and is {shown.get(reference)}" for reference in answered
               if shown.get(reference) != "confirmed"]  # fmt: skip
    broken += [f"{reference} was asked of a partner and not answered" for reference, state in shown.items()
               if state == "sent" and reference not in answered]  # fmt: skip
    waiting = sum(state == "due" for state in shown.values())
    return make_check(
        5,
        "partners refund what is asked of them",
        broken,
        f"{len(answered)} refunded, {waiting} wait for an appeal",
        "each answered once",
    )
