"""One person with several phones and mailboxes: proofs that lead to one place, and places that are left or voided."""

from typing import Any

import pytest

from flashsale.gate import bridge, scripts
from flashsale.life.enter import Entry, digest_identity, enter
from flashsale.life.leave import leave
from flashsale.models import Sale
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import PlaceState
from tests.factories import PHONE, Shopper, lobby_sale, open_now, refusal, tend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PHONES = {n: f"08123456780{n}" for n in range(1, 4)}
EMAILS = {1: "satu@example.com", 2: "dua@example.com", 3: "tiga@example.com"}


class Proof(Shopper):
    """A person who proves this phone and this mailbox."""

    def __init__(self, sale: Sale, phone: int, email: int, *, channel: str = "lazada") -> None:
        super().__init__(sale, f"{phone}/{email}", channel=channel)
        self.values = {Axis.PHONE: PHONES[phone], Axis.EMAIL: EMAILS[email]}

    def enter(self) -> Entry:
        known = digest_identity(card=self.card, values=self.values)
        self.entry = bridge.run(enter(card=self.card, line=self.line, channel=self.channel, digests=known))
        return self.entry

    def leave(self) -> None:
        bridge.run(leave(card=self.card, line=self.line, place=self.place))


def enter_in_order(sale: Sale, *proofs: tuple[int, int], **where: str) -> list[Proof]:
    people = [Proof(sale, phone, email, **where) for phone, email in proofs]
    for person in people:
        person.enter()
    return people


def test_coming_back_by_another_proof_restores_a_place_left_before_the_draw():
    sale = lobby_sale()
    first, second = enter_in_order(sale, (1, 1), (1, 2))
    second.leave()
    assert (first.enter().index, first.entry.created) == (1, False)
    assert (first.look().state, second.look().state) == (PlaceState.WAITING, PlaceState.WAITING)
    figures: Any = bridge.run(scripts.survey(first.card, first.line))
    assert figures.left == 0
    open_now(sale)
    tend(sale)
    assert first.look().state is PlaceState.CALLED


def test_the_other_proof_leads_to_a_restored_place_too():
    sale = lobby_sale()
    first, second = enter_in_order(sale, (1, 1), (2, 1))
    second.leave()
    first.enter()
    third = Proof(sale, 2, 3)
    assert (third.enter().index, third.entry.created) == (1, False)


def test_a_place_left_after_the_draw_is_given_to_none_of_its_proofs():
    sale = lobby_sale()
    first, second = enter_in_order(sale, (1, 1), (2, 1))
    open_now(sale)
    second.leave()
    assert (first.enter().index, first.entry.created) == (2, True)
    tend(sale)
    assert first.look().state is PlaceState.CALLED


def test_a_present_place_is_not_voided_for_one_that_was_left():
    sale = lobby_sale(stock={PHONE: 3})
    first, second = enter_in_order(sale, (1, 1), (1, 2))
    open_now(sale)
    second.leave()
    assert second.enter().index == 2
    tend(sale)
    # The other mailbox is new to the present place, whose number is known by now.
    assert refusal(first.enter) is Outcome.WRONG_IDENTITY
    assert (first.look().state, second.look().state) == (PlaceState.LEFT, PlaceState.CALLED)


def test_a_voided_place_is_not_given_again():
    sale = lobby_sale()
    _, second, both = enter_in_order(sale, (1, 1), (2, 2), (1, 2))
    assert (both.entry.index, second.look().state) == (1, PlaceState.VOIDED)
    third = Proof(sale, 2, 3)
    assert (third.enter().index, third.entry.created) == (3, True)
    assert third.look().state is PlaceState.WAITING


def test_a_present_place_is_not_voided_for_one_that_was_voided():
    sale = lobby_sale()
    enter_in_order(sale, (1, 1), (2, 2), (1, 2))
    (living,) = enter_in_order(sale, (3, 3))
    other = Proof(sale, 2, 3)
    assert (other.enter().index, other.entry.created) == (3, False)
    assert (living.look().state, other.look().state) == (PlaceState.WAITING, PlaceState.WAITING)


def other_line(phone: int, email: int, sale: Sale) -> Proof:
    return Proof(sale, phone, email, channel="akulaku")


@pytest.mark.parametrize("drawn", [False, True], ids=["before the draw", "after it"])
def test_a_person_who_left_may_enter_another_line_by_any_proof(drawn: bool):
    sale = lobby_sale(channels=("lazada", "akulaku"))
    first, _ = enter_in_order(sale, (1, 1), (2, 1))
    if drawn:
        open_now(sale)
    elsewhere = other_line(2, 3, sale)
    assert refusal(elsewhere.enter) is Outcome.PLACE_ELSEWHERE
    first.leave()
    assert (elsewhere.enter().index, elsewhere.entry.created) == (1, True)


def test_a_proof_of_a_voided_place_may_enter_another_line():
    sale = lobby_sale(channels=("lazada", "akulaku"))
    enter_in_order(sale, (1, 1), (2, 2), (1, 2))
    elsewhere = other_line(2, 3, sale)
    assert (elsewhere.enter().index, elsewhere.entry.created) == (1, True)
    assert refusal(other_line(1, 3, sale).enter) is Outcome.PLACE_ELSEWHERE


def test_a_person_whose_place_was_restored_by_another_proof_cannot_enter_a_second_line():
    sale = lobby_sale(channels=("lazada", "akulaku"))
    first, second = enter_in_order(sale, (1, 1), (1, 2))
    first.leave()
    other = Proof(sale, 3, 2)
    assert (other.enter().index, other.entry.created) == (1, False)
    assert second.look().state is PlaceState.WAITING
    assert refusal(other_line(1, 3, sale).enter) is Outcome.PLACE_ELSEWHERE


def test_an_old_token_voids_no_place_that_another_person_has_taken_again():
    sale = lobby_sale(channels=("lazada", "akulaku"))
    (first,) = enter_in_order(sale, (1, 1))
    first.leave()
    other_line(1, 2, sale).enter()
    (second,) = enter_in_order(sale, (2, 1))
    assert second.entry.index == first.entry.index
    assert (first.look().state, second.look().state) == (PlaceState.WAITING, PlaceState.WAITING)


def test_an_old_token_voids_no_later_place_in_its_own_line_either():
    sale = lobby_sale(channels=("lazada", "akulaku"))
    (first,) = enter_in_order(sale, (1, 1))
    first.leave()
    detour = other_line(2, 1, sale)
    detour.enter()
    detour.leave()
    later, other = enter_in_order(sale, (2, 1), (1, 3))
    assert (later.entry.index, other.entry.index) == (2, 1)
    assert (first.look().state, later.look().state) == (PlaceState.WAITING, PlaceState.WAITING)
