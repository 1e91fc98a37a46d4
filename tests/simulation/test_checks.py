"""The outsider's checks find each broken promise in made-up answers, and find nothing in correct answers."""

from dataclasses import replace
from hashlib import sha256
from typing import Any

from flashsale.rules import lottery
from flashsale.rules.clock import hold_grace_ms
from simulation import checks, drand, order_checks
from simulation.journal import Answer, Journal
from simulation.observations import Observations, observed_reservations

SECRET = bytes(range(32))
COHORT = 4
OPENS, CLOSES, HOLD = 10_000, 100_000, 5_000
TRANSCRIPT: dict[str, Any] = lottery.transcript(sale="s", secret=SECRET, cohorts={"l": COHORT})
SEED = bytes.fromhex(TRANSCRIPT["lines"]["l"]["seed"])


def _answer(who: str, verb: str, at_ms: int, status: int = 200, **body: Any) -> Answer:
    return Answer(who=who, verb=verb, sale="s", line="l", asked_ms=at_ms, at_ms=at_ms, status=status, body=body)


def _enter(who: str, index: int, phone: str) -> Answer:
    identity = {"phone": phone, "email": f"{who}@example.com"}
    return replace(_answer(who, "enter", 1000, 201, index=index), sent={"identity": identity})


def _reserve(who: str, id_: str, at_ms: int = OPENS + 100, key: str = "k") -> Answer:
    return replace(_answer(who, "reserve", at_ms, 201, reservation=id_, deadline=at_ms + HOLD), key=key)


def _confirm(who: str, id_: str, at_ms: int = OPENS + 200) -> Answer:
    return replace(_answer(who, "confirm", at_ms, id=id_), sent={"reservation": id_})


def _status(at_ms: int, called: int, *, free: int = 1, held: int = 0, sold: int = 0) -> Answer:
    shown = {"called": called, "free": free, "held": held, "sold": sold, "commitment": TRANSCRIPT["commitment"]}
    return _answer("everyone", "status", at_ms, **shown)


def _way(id_: str, state: str, serial: str = "u1") -> dict[str, Any]:
    return {"serial": serial, "reservation": id_, "state": state, "cancelled_ms": ""}


def _observed(*answers: Answer, units: int = 1, unit_history: tuple[dict[str, Any], ...] = ()) -> Observations:
    journal = Journal()
    for answer in answers:
        journal.add(answer)
    return Observations(
        journal=journal,
        limit=1,
        units={("s", "l"): units},
        windows={"s": (OPENS, CLOSES, HOLD)},
        transcripts={"s": TRANSCRIPT},
        unit_history=list(unit_history),
    )


def _broken(observed: Observations) -> set[int]:
    return {check.promise for check in checks.check_all(observed) if not check.held}


def test_correct_answers_break_no_promise() -> None:
    first = lottery.index_of(1, COHORT, SEED)
    observed = _observed(
        _enter("ani", first, "081211112222"),
        _status(OPENS, 1),
        _reserve("ani", "r1"),
        _reserve("ani", "r1"),
        _confirm("ani", "r1"),
        _status(OPENS + 2000, 1, free=0, sold=1),
        unit_history=(_way("r1", "confirmed"),),
    )

    assert _broken(observed) == set()


def test_more_reservations_than_units_are_found() -> None:
    observed = _observed(_reserve("ani", "r1"), _reserve("budi", "r2"))

    assert not checks.oversold(observed, list(observed_reservations(observed))).held


def test_a_unit_that_expired_may_be_held_again() -> None:
    observed = _observed(_reserve("ani", "r1"), _reserve("budi", "r2", at_ms=OPENS + 100 + HOLD))

    assert checks.oversold(observed, list(observed_reservations(observed))).held


def test_a_unit_with_two_owners_is_found() -> None:
    observed = _observed(units=2, unit_history=(_way("r1", "confirmed"), _way("r2", "held")))

    assert not checks.oversold(observed, []).held


def test_a_lost_unit_is_found() -> None:
    assert not checks.conserved(_observed(_status(OPENS, 0, free=0))).held


def test_one_phone_with_two_reservations_is_found() -> None:
    observed = _observed(
        _enter("ani", 1, "081211112222"),
        _enter("ani-2", 2, "+62 812 1111 2222"),
        _reserve("ani", "r1"),
        _reserve("ani-2", "r2"),
        units=2,
    )

    assert not checks.limited(observed, list(observed_reservations(observed))).held
    assert not order_checks.one_place(observed).held


def test_a_lost_acknowledgement_is_found() -> None:
    observed = _observed(_reserve("ani", "r1"))

    assert not checks.committed(observed, list(observed_reservations(observed))).held


def test_two_reservations_of_one_key_are_found() -> None:
    assert not checks.once(_observed(_reserve("ani", "r1"), _reserve("ani", "r2"))).held


def test_a_number_that_does_not_follow_from_the_draw_is_found() -> None:
    wrong = lottery.number(1, COHORT, SEED) % COHORT + 1

    assert not order_checks.drawn(_observed(_answer("ani", "look", OPENS, index=1, number=wrong, state="waiting"))).held


def test_another_commitment_shown_before_is_found() -> None:
    shown = _status(OPENS, 0)

    assert not order_checks.drawn(_observed(replace(shown, body={**shown.body, "commitment": "00" * 32}))).held


FROZEN_AT = 1_800_000_000
LEAVES = [lottery.leaf(index, 0) for index in range(1, COHORT + 1)]
ROUND = lottery.round_after(FROZEN_AT, drand.CHAIN)
SIGNATURE = drand.sign(ROUND)
BEACON = lottery.Beacon(drand.CHAIN.hash, ROUND, SIGNATURE, sha256(SIGNATURE).digest())
COMMITTED: dict[str, Any] = lottery.transcript_2(
    sale="s",
    secret=SECRET,
    frozen_at=FROZEN_AT,
    lines={"l": (COHORT, lottery.tree_root(LEAVES), (COHORT, 0, 0))},
    drand=BEACON,
)
ROUND_AT = 1000 * drand.CHAIN.time_of(ROUND)


def _shown(at_ms: int, *, seed: str = "", **draw: Any) -> Answer:
    line = COMMITTED["lines"]["l"]
    draw = {"root": line["root"], "round": ROUND, "round_at": ROUND_AT} | draw
    return _answer("everyone", "status", at_ms, commitment=COMMITTED["commitment"], seed=seed, draw=draw)


def _committing(*answers: Answer, **changes: Any) -> Observations:
    return replace(_observed(*answers), transcripts={"s": COMMITTED | changes}, chain=drand.CHAIN)


def test_the_numbers_of_a_sale_with_a_round_are_those_of_its_transcript() -> None:
    seed = COMMITTED["lines"]["l"]["seed"]
    number = lottery.number(1, COHORT, bytes.fromhex(seed))
    looks = [_answer("ani", "look", ROUND_AT, index=1, number=shown, state="waiting") for shown in (number, number + 1)]
    documents = (_shown(ROUND_AT - 20_000), _shown(ROUND_AT + 500, seed=seed))

    assert order_checks.drawn(_committing(*documents, looks[0])).held
    assert order_checks.committed_first(_committing(*documents)).held
    assert not order_checks.drawn(_committing(*documents, looks[1])).held
    assert not order_checks.drawn(_committing(*documents, frozen_at=FROZEN_AT + 60)).held
    assert not order_checks.drawn(replace(_committing(*documents), chain=lottery.QUICKNET_CHAIN)).held


def test_a_root_that_came_late_or_changed_is_found() -> None:
    first, seed = _shown(ROUND_AT - 20_000), COMMITTED["lines"]["l"]["seed"]

    for documents in (
        (),
        (_shown(ROUND_AT),),
        (_shown(ROUND_AT - 20_000, seed=seed),),
        (first, _shown(ROUND_AT - 10_000, root="00" * 32)),
        (first, _shown(ROUND_AT - 10_000, round=ROUND + 1)),
    ):
        assert not order_checks.committed_first(_committing(*documents)).held


def test_a_reservation_before_being_called_is_found() -> None:
    last = lottery.index_of(COHORT, COHORT, SEED)
    observed = _observed(_enter("ani", last, "081211112222"), _reserve("ani", "r1"), _status(OPENS + 1000, COHORT - 1))

    assert not order_checks.called_first(observed).held


def test_a_person_who_is_passed_over_is_found() -> None:
    looks = (
        _answer("ani", "look", OPENS, index=1, number=2, state="called", called=2, now=OPENS),
        _answer("budi", "look", OPENS + 1, index=2, number=1, state="waiting", called=0, now=OPENS + 1),
    )

    assert not order_checks.none_passed_over(_observed(*looks)).held


def test_a_late_confirmation_is_found() -> None:
    ends = OPENS + 100 + HOLD + hold_grace_ms(HOLD) + checks.CLOCK_SLACK_MS

    for at_ms, held in ((ends, True), (ends + 50, False)):
        observed = _observed(_reserve("ani", "r1"), _confirm("ani", "r1", at_ms=at_ms))
        assert checks.late_refused(observed, list(observed_reservations(observed))).held is held


def test_a_confirmation_is_late_by_the_lines_clock() -> None:
    at = OPENS + 100 + HOLD + hold_grace_ms(HOLD) + 300
    documents = [_answer("everyone", "status", at - age, now=at - age - lag) for age, lag in ((900, 700), (400, 200))]
    observed = _observed(_reserve("ani", "r1"), *documents, _confirm("ani", "r1", at_ms=at))

    assert checks.late_refused(observed, list(observed_reservations(observed))).held


def test_a_confirmation_whose_answer_was_lost_may_be_repeated_late() -> None:
    lost = replace(_confirm("ani", "r1"), status=0)
    observed = _observed(_reserve("ani", "r1"), lost, _confirm("ani", "r1", at_ms=OPENS + 100 + HOLD + 300))

    assert checks.late_refused(observed, list(observed_reservations(observed))).held


def test_a_reservation_before_the_opening_is_found() -> None:
    observed = _observed(_reserve("ani", "r1", at_ms=OPENS - 1))

    assert not checks.inside_window(observed, list(observed_reservations(observed))).held


def test_a_line_that_rolls_over_may_have_fewer_units_but_never_more() -> None:
    observed = _observed(_status(OPENS, 0, free=2), _status(OPENS + 1, 0, free=1), units=2)
    assert not checks.conserved(observed).held
    observed.rolling.add(("s", "l"))
    assert checks.conserved(observed).held
    observed.units["s", "l"] = 1
    assert not checks.conserved(observed).held
