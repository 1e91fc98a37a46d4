"""Redis is empty: only the tokens of the people in the line show their places, and they bring the line back."""

from typing import Any

import pytest

from flashsale.gate import bridge, load, sale_cards, scripts
from flashsale.gate.messages import Crowd
from flashsale.gate.sale_card import SaleCard
from flashsale.life import crowd_backup, draw, places, rebuild, sale_control, tick
from flashsale.life.index_blocks import BLOCK_MIN
from flashsale.life.leave import leave
from flashsale.life.status import status
from flashsale.models import Allocation, CrowdBackup, Reservation, Sale
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PlaceState
from tests.factories import PHONE, Shopper, card_of, let_pass, lobby_sale, move_opening, open_now, refusal, tend
from tests.faults.steps import dying, lose_everything, memory_of, put_back

pytestmark = [pytest.mark.django_db(transaction=True)]
NAMES = ("ani", "budi", "cici", "dodi", "edi")


def crowd(sale: Sale) -> list[Shopper]:
    people = [Shopper(sale, name) for name in NAMES]
    for person in people:
        person.enter()
    return people


def states(people: list[Shopper]) -> list[PlaceState]:
    return [person.look().state for person in sorted(people, key=lambda person: person.number())]


def test_in_the_lobby_those_known_to_have_entered_are_drawn_and_called_and_no_ghosts(gate):
    sale = lobby_sale(stock={PHONE: 2})
    people = crowd(sale)
    tend(sale)
    lose_everything(gate, sale)
    open_now(sale)
    tend(sale)
    assert states(people) == ["called", "called", "waiting", "waiting", "waiting"]
    card = card_of(sale)
    assert bridge.run(status(card=card, line=card.lines[0]))["entered"] == 5


def found(code: str) -> SaleCard:
    """What a process finds that asks Redis for a sale code now."""

    async def act() -> SaleCard:
        known = sale_cards.CARDS.entries().get(code)
        if known and known.card:
            sale_cards.drop_cached_card(known.card)
        return await places.sale_card(code=code)

    return bridge.run(act())


def forget_cards() -> None:
    """From now on this process has never read a sale card."""

    async def act() -> None:
        sale_cards.CARDS.entries().clear()

    bridge.run(act())


def test_a_sale_that_redis_has_lost_is_never_said_not_to_exist(gate):
    sale = lobby_sale()
    assert found(sale.code).sale == sale.pk
    assert refusal(found, "no-such-sale") is Outcome.NOT_FOUND
    gate.flushall()
    assert found(sale.code).sale == sale.pk
    forget_cards()
    assert [refusal(found, code) for code in (sale.code, "no-such-sale")] == [Outcome.NOT_READY] * 2
    for _rebuilds_then_finds_nothing_missing in range(2):
        bridge.run(rebuild.rebuild_after_loss())
    assert found(sale.code).epoch == 2
    assert refusal(found, "no-such-sale") is Outcome.NOT_FOUND


def test_a_process_knows_a_lost_sale_while_it_writes_its_card_again(gate, monkeypatch):
    sale = lobby_sale()
    assert found(sale.code).sale == sale.pk
    gate.flushall()
    really, seen = sale_cards.list_sale, []

    async def list_sale(card: SaleCard) -> None:
        seen.append(await sale_cards.card_of(sale.code))
        await really(card)

    monkeypatch.setattr(sale_cards, "list_sale", list_sale)
    bridge.run(sale_control.restore_card(sale=sale.pk))
    assert [card.sale for card in seen] == [sale.pk]


def open_claims(sale: Sale) -> int:
    """How many people are called and have not reserved, as Redis counts."""
    card = card_of(sale)
    figures: Any = bridge.run(scripts.survey(card, card.lines[0]))
    return figures.open_claims


def remembering(monkeypatch, **fields) -> Sale:
    """A sale whose crowd is written to PostgreSQL at each tick."""
    monkeypatch.setattr(crowd_backup, "BACKUP_S", 0.0)
    return lobby_sale(**fields)


@pytest.mark.parametrize("drawn", [False, True], ids=["before the draw", "after it"])
def test_a_second_loss_makes_no_ghosts_of_indexes_that_were_never_given(gate, monkeypatch, drawn):
    sale = remembering(monkeypatch, stock={PHONE: 9})
    people = crowd(sale)
    tend(sale)
    lose_everything(gate, sale)
    if drawn:
        open_now(sale)
    tend(sale)
    lose_everything(gate, sale)
    if not drawn:
        open_now(sale)
    tend(sale)
    assert (open_claims(sale), states(people)) == (5, ["called"] * 5)


@pytest.mark.parametrize("drawn", [False, True], ids=["before the draw", "after it"])
def test_indexes_that_were_passed_over_stay_so_in_an_older_memory_that_does_not_know_them(gate, monkeypatch, drawn):
    """Two failovers within seconds: the second memory has neither the gap of the first rebuild nor its indexes."""
    sale = remembering(monkeypatch, stock={PHONE: 9})
    people = crowd(sale)
    tend(sale)
    if drawn:
        open_now(sale)
        tend(sale)
    before = memory_of(gate)
    lose_everything(gate, sale)
    late = Shopper(sale, "late")
    late.enter()
    tend(sale)
    assert Allocation.objects.get().entered == late.entry.index == BLOCK_MIN + 1
    put_back(gate, before)
    bridge.run(tick.mend_all())
    if not drawn:
        open_now(sale)
    tend(sale)
    assert (open_claims(sale), states(people)) == (5, ["called"] * 5)
    assert (late.look().state, open_claims(sale)) == ("called", 6)


def test_a_filling_that_is_broken_off_and_begun_anew_makes_no_ghosts(gate, monkeypatch):
    sale = lobby_sale(stock={PHONE: 9})
    people = crowd(sale)
    tend(sale)
    gate.flushall()
    dying(monkeypatch, load, "_mark_gap", lambda: bridge.run(tick.mend_all()))
    tend(sale)
    open_now(sale)
    tend(sale)
    assert (open_claims(sale), states(people)) == (5, ["called"] * 5)


def test_who_left_in_the_lobby_is_not_called_after_a_loss_in_the_middle_of_the_draw(gate, monkeypatch):
    sale = lobby_sale(stock={PHONE: 9})
    gone, *people = crowd(sale)
    bridge.run(leave(card=gone.card, line=gone.line, place=gone.place))
    move_opening(sale)
    dying(monkeypatch, draw, "_void_absent", lambda: tend(sale))
    lose_everything(gate, sale)
    tend(sale)
    assert (open_claims(sale), states(people), gone.look().state) == (4, ["called"] * 4, "left")


def test_who_did_not_come_in_time_is_not_called_again_after_a_loss(gate, monkeypatch):
    sale = remembering(monkeypatch, stock={PHONE: 2}, claim_s=60)
    people = crowd(sale)
    open_now(sale)
    tend(sale)
    let_pass(sale, seconds=60)
    tend(sale)
    lose_everything(gate, sale)
    assert states(people) == ["lapsed", "lapsed", "called", "called", "waiting"]


def test_who_entered_in_the_last_second_is_drawn_when_their_token_is_seen(gate):
    sale = lobby_sale(stock={PHONE: 2})
    people = crowd(sale)
    lose_everything(gate, sale)
    for person in people[:3]:
        assert person.look().state is PlaceState.WAITING
    open_now(sale)
    tend(sale)
    assert states(people[:3]) == ["called", "called", "waiting"]
    card = card_of(sale)
    assert bridge.run(status(card=card, line=card.lines[0]))["entered"] == 3


def test_once_drawn_a_token_brings_its_number_back(gate):
    sale = lobby_sale(stock={PHONE: 2})
    people = crowd(sale)
    tend(sale)
    open_now(sale)
    tend(sale)
    numbers = [person.number() for person in people]
    first, second, *_ = sorted(people, key=lambda person: person.number())
    held = first.reserve(key="k")
    lose_everything(gate, sale)
    assert second.reserve().amount == 1_799_000
    assert [person.number() for person in people] == numbers
    assert states(people) == ["spent", "spent", "waiting", "waiting", "waiting"]
    assert first.reserve(key="k").id == held.id
    assert Reservation.objects.count() == 2


def test_a_place_that_the_next_call_will_reach_is_not_called_yet_and_is_not_said_to_be_given_up(gate):
    sale = lobby_sale(stock={PHONE: 9})
    crowd(sale)
    open_now(sale)
    tend(sale)
    late, gone = Shopper(sale, "late"), Shopper(sale, "gone")
    late.enter(), gone.enter()
    gate.flushall()
    bridge.run(tick.mend_all())  # no tick has called people since
    assert [refusal(person.reserve) for person in (late, gone)] == [Outcome.NOT_CALLED] * 2
    bridge.run(leave(card=gone.card, line=gone.line, place=gone.place))
    assert refusal(gone.reserve) is Outcome.PLACE_LEFT
    tend(sale)
    assert late.reserve().replayed is False
    assert refusal(gone.reserve) is Outcome.PLACE_LEFT


def test_all_who_were_drawn_are_called_although_the_books_had_counted_only_some_of_them(gate):
    sale = lobby_sale(stock={PHONE: 12})
    people = crowd(sale) + [Shopper(sale, f"late-{n}") for n in range(7)]
    for late in people[len(NAMES) :]:
        late.enter()
    open_now(sale)
    numbers = [person.number() for person in people]
    Allocation.objects.filter(sale=sale, cohort=12).update(entered=3)
    lose_everything(gate, sale)
    tend(sale)
    assert [person.number() for person in people] == numbers
    assert states(people) == ["called"] * 12


def test_people_who_entered_again_meanwhile_keep_only_the_earlier_place(gate):
    sale = lobby_sale()
    people = crowd(sale)
    lose_everything(gate, sale)
    ani = people[0]
    again = Shopper(sale, "ani")
    assert again.enter().index > len(NAMES)
    assert ani.look().state is PlaceState.WAITING
    assert again.look().state is PlaceState.VOIDED
    assert ani.enter().index == 1


def test_a_place_left_after_the_loss_stays_left(gate):
    sale = lobby_sale()
    ani, *_ = crowd(sale)
    lose_everything(gate, sale)
    ani.look()
    bridge.run(leave(card=ani.card, line=ani.line, place=ani.place))
    assert ani.look().state is PlaceState.LEFT


def test_a_place_left_before_its_token_was_seen_stays_left(gate):
    sale = lobby_sale()
    ani, *_ = crowd(sale)
    lose_everything(gate, sale)
    bridge.run(leave(card=ani.card, line=ani.line, place=ani.place))
    assert ani.look().state is PlaceState.LEFT


def left_and_came_back(sale: Sale) -> tuple[Shopper, Shopper]:
    """One person twice: with the place that they left after the draw, and with their new place at the end."""
    before, *_ = crowd(sale)
    open_now(sale)
    bridge.run(leave(card=before.card, line=before.line, place=before.place))
    after = Shopper(sale, before.name)
    assert after.enter().index == len(NAMES) + 1
    tend(sale)
    return before, after


@pytest.mark.parametrize("earlier_first", [True, False])
def test_a_place_that_was_left_and_its_successor_never_live_both(gate, earlier_first):
    sale = lobby_sale()
    before, after = left_and_came_back(sale)
    lose_everything(gate, sale)
    for device in (before, after) if earlier_first else (after, before):
        device.look()
    assert (before.look().state, after.look().state) == (PlaceState.CALLED, PlaceState.VOIDED)
    with pytest.raises(Refused) as refused:
        after.reserve()
    assert refused.value.outcome is Outcome.PLACE_VOIDED
    assert after.enter().index == before.entry.index


def test_a_place_whose_leaving_the_books_have_heard_of_stays_left(gate, monkeypatch):
    sale = remembering(monkeypatch)
    before, after = left_and_came_back(sale)
    lose_everything(gate, sale)
    assert (before.look().state, after.look().state) == (PlaceState.LEFT, PlaceState.CALLED)


def test_the_bitmaps_of_a_line_are_written_as_often_as_their_weight_allows(gate, monkeypatch):
    sale = remembering(monkeypatch)
    first, second, *_ = crowd(sale)
    for gone, per_s, known in ((first, 1e9, [1]), (second, 1e-9, [1]), (None, 1e9, [1, 2])):
        monkeypatch.setattr(crowd_backup, "CROWD_BYTES_PER_S", per_s)
        if gone:
            bridge.run(leave(card=gone.card, line=gone.line, place=gone.place))
        tend(sale)
        assert Crowd(bytes(CrowdBackup.objects.get().out)).absent() == known


def test_a_successor_that_was_spent_on_an_order_stays_so(gate):
    sale = lobby_sale()
    before, after = left_and_came_back(sale)
    held = after.reserve(key="k")
    lose_everything(gate, sale)
    before.look()
    assert after.look().state is PlaceState.SPENT
    assert after.reserve(key="k").id == held.id


def test_a_successor_lives_on_when_the_earlier_place_is_left_once_more(gate):
    sale = lobby_sale()
    before, after = left_and_came_back(sale)
    lose_everything(gate, sale)
    before.look()
    bridge.run(leave(card=before.card, line=before.line, place=before.place))
    assert after.look().state is PlaceState.CALLED
    assert Shopper(sale, after.name).enter().index == after.entry.index


def changed_lines(sale: Sale) -> tuple[Shopper, Shopper]:
    """One person twice: with the place that they left, and with a new one in another line, not yet in PostgreSQL."""
    before, after = Shopper(sale, "ani"), Shopper(sale, "ani", channel="akulaku")
    before.enter()
    tend(sale)
    bridge.run(leave(card=before.card, line=before.line, place=before.place))
    after.enter()
    return before, after


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_lines_that_one_person_stood_in_they_stand_in_one(gate, first):
    sale = lobby_sale(channels=("lazada", "akulaku"))
    places = changed_lines(sale)
    lose_everything(gate, sale)
    kept, other = places[first], places[1 - first]
    assert [kept.look().state, other.look().state, kept.look().state] == ["waiting", "voided", "waiting"]


def test_a_person_who_leaves_a_line_once_more_gets_no_third_place(gate):
    sale = lobby_sale(channels=("lazada", "akulaku", "mi-store"))
    before, after = changed_lines(sale)
    lose_everything(gate, sale)
    before.look()
    bridge.run(leave(card=before.card, line=before.line, place=before.place))
    assert after.look().state is PlaceState.WAITING
    with pytest.raises(Refused) as refused:
        Shopper(sale, "ani", channel="mi-store").enter()
    assert refused.value.outcome is Outcome.PLACE_ELSEWHERE


def test_new_people_get_indexes_that_were_never_used(gate):
    sale = lobby_sale()
    people = crowd(sale)
    lose_everything(gate, sale)
    newcomer = Shopper(sale, "newcomer")
    assert newcomer.enter().index > 50 >= max(person.entry.index for person in people)
    assert newcomer.look().state is PlaceState.WAITING


def test_a_spent_place_stays_spent(gate):
    sale = lobby_sale(stock={PHONE: 5})
    ani, *_ = crowd(sale)
    open_now(sale)
    tend(sale)
    ani.reserve()
    lose_everything(gate, sale)
    assert ani.look().state is PlaceState.SPENT
    with pytest.raises(Refused) as refused:
        ani.reserve(key="another")
    assert refused.value.outcome is Outcome.PLACE_SPENT
