"""A partner's word counts nothing against a one-time code, and a place whose number is known cannot be sold."""

from collections import deque
from typing import Any

import pytest
import redis

from flashsale.gate import bridge, client, keys, scripts
from flashsale.life import crowd_backup, tick
from flashsale.life.enter import Entry, digest_identity, enter
from flashsale.life.leave import leave
from flashsale.life.look import look
from flashsale.models import Channel, Sale
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PlaceState
from flashsale.rules.token_buckets import IDENTITY_BUCKET
from tests.factories import (
    PHONE,
    Shopper,
    lobby_sale,
    open_now,
    poco_campaign,
    refusal,
    tend,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
BUDI = {Axis.PHONE: "081234567801", Axis.EMAIL: "budi@example.com"}
PARTNER, OTHER_PARTNER, PAGE = "lazada", "akulaku", "mi.com"


class Person(Shopper):
    """A person who enters a line with these values, through a channel."""

    def __init__(self, sale: Sale, channel: str, line: str = "shared", **values: str) -> None:
        super().__init__(sale, "", channel=channel, line=line)
        self.values = BUDI | {Axis(axis): value for axis, value in values.items()}

    def enter(self) -> Entry:
        known = digest_identity(card=self.card, values=self.values)
        self.entry = bridge.run(enter(card=self.card, line=self.line, channel=self.channel, digests=known))
        return self.entry

    def leave(self) -> None:
        bridge.run(leave(card=self.card, line=self.line, place=self.place))

    @property
    def state(self) -> PlaceState:
        return bridge.run(look(card=self.card, line=self.line, place=self.place)).state


def shared_line(**fields: Any) -> Sale:
    """A sale with one line for two partners and our own page."""
    line = {"code": "shared", "channels": [PARTNER, OTHER_PARTNER, PAGE], "stock": {PHONE: 10}}
    return lobby_sale(lines=[line], **fields)


def test_a_partners_word_does_not_get_a_place_that_a_code_proved() -> None:
    sale = shared_line()
    owner, thief = Person(sale, PAGE), Person(sale, PARTNER)
    assert owner.enter().created
    assert thief.enter().created
    assert (owner.entry.index, thief.entry.index) == (1, 2)
    thief.leave()
    assert (owner.state, thief.state) == (PlaceState.WAITING, PlaceState.LEFT)
    assert (owner.enter().index, owner.entry.created) == (1, False)


def test_a_partners_word_does_not_void_a_place_by_joining_it_with_another() -> None:
    sale = shared_line()
    earlier = Person(sale, PARTNER, phone="081234567809", email="thief@example.com")
    owner, joined = Person(sale, PAGE), Person(sale, PARTNER, email="thief@example.com")
    earlier.enter(), owner.enter(), joined.enter()
    assert (owner.state, joined.entry.index) == (PlaceState.WAITING, 1)
    open_now(sale)
    tend(sale)
    assert owner.state is PlaceState.CALLED


@pytest.mark.parametrize("lines", [("shared",), (PARTNER, PAGE)], ids=["in one line", "in two lines"])
@pytest.mark.parametrize("opened", [False, True], ids=["before the draw", "after it"])
def test_a_partner_that_enters_a_phone_first_does_not_lock_its_owner_out(lines: tuple[str, ...], opened: bool) -> None:
    channels = {"shared": [PARTNER, PAGE], PARTNER: [PARTNER], PAGE: [PAGE]}
    sale = lobby_sale(lines=[{"code": line, "channels": channels[line], "stock": {PHONE: 10}} for line in lines])
    thief, owner = Person(sale, PARTNER, lines[0]), Person(sale, PAGE, lines[-1])
    thief.enter()
    if opened:
        open_now(sale)
    assert owner.enter().created
    first = owner.entry.index
    assert (owner.enter().index, owner.entry.created) == (first, False)
    assert (thief.enter().index, thief.entry.created) == (1, False)
    thief.leave()
    tend(sale)
    assert owner.state is (PlaceState.CALLED if opened else PlaceState.WAITING)


def test_the_word_of_a_partner_does_not_slow_the_owner_down(monkeypatch: pytest.MonkeyPatch) -> None:
    # A busy machine may need longer than the gap for each request.
    monkeypatch.setattr(scripts, "IDENTITY_BUCKET", IDENTITY_BUCKET._replace(gap_ms=60_000))
    sale = shared_line()
    thief = Person(sale, PARTNER)
    thief.enter()
    with pytest.raises(Refused, match=Outcome.TOO_MANY_REQUESTS):
        deque(thief.enter() for _ in range(2 * IDENTITY_BUCKET.burst))
    assert Person(sale, PAGE).enter().created


def test_a_partner_learns_nothing_about_a_person_in_a_line_of_our_own_page() -> None:
    lines = [{"code": code, "channels": [code], "stock": {PHONE: 10}} for code in (PARTNER, PAGE)]
    sale = lobby_sale(lines=lines)
    Person(sale, PAGE, PAGE).enter()
    known = Person(sale, PARTNER, PARTNER)
    stranger = Person(sale, PARTNER, PARTNER, phone="081234567802", email="ani@example.com")
    assert (known.enter().created, stranger.enter().created) == (True, True)
    assert (known.state, stranger.state) == (PlaceState.WAITING, PlaceState.WAITING)


def test_two_partners_give_one_person_one_place() -> None:
    sale = shared_line()
    first, second = Person(sale, PARTNER), Person(sale, OTHER_PARTNER)
    assert (first.enter().index, second.enter().index, second.entry.created) == (1, 1, False)


def test_after_a_loss_of_the_gate_a_partners_token_does_not_take_the_digests_of_a_code() -> None:
    sale = shared_line()
    thief, owner = Person(sale, PARTNER), Person(sale, PAGE)
    thief.enter(), owner.enter()
    card = owner.card
    bridge.run(forget_places(keys.SaleKeys(card.campaign, card.sale).buckets(range(card.buckets))))
    assert (thief.state, owner.state) == (PlaceState.WAITING, PlaceState.WAITING)
    assert (owner.enter().index, owner.entry.created) == (2, False)
    assert (thief.enter().index, thief.entry.created) == (1, False)


async def forget_copies() -> None:
    crowd_backup.WRITTEN.entries().clear()


async def forget_places(buckets: list[str]) -> None:
    await client.gate().redis.delete(*buckets)


def people_of(sale: Sale, channel: str, numbers: range) -> list[Person]:
    """People who come through a channel, one for each number."""
    mailbox = f"{channel.replace('.', '')}@example.com"
    return [Person(sale, channel, phone=f"0812345{n:05d}", email=f"{n}{mailbox}") for n in numbers]


def how_many_enter(sale: Sale, people: list[Person]) -> int:
    """How many of these people get a new place. The others are refused because of a full line."""
    answers: list[bool | Outcome] = []
    for person in people:
        try:
            answers.append(person.enter().created)
        except Refused as refused:
            answers.append(refused.outcome)
        tend(sale)  # adds a block of indexes
    assert set(answers) <= {True, Outcome.LINE_FULL}
    return answers.count(True)


def test_partners_that_share_a_line_leave_our_own_page_its_part() -> None:
    sale = shared_line(max_entries=9)
    for first, partner in ((100, PARTNER), (200, OTHER_PARTNER)):
        assert how_many_enter(sale, people_of(sale, partner, range(first, first + 5))) == 3
    assert how_many_enter(sale, people_of(sale, PAGE, range(300, 305))) == 3


def test_after_a_loss_of_the_gate_a_partner_does_not_get_its_part_of_the_line_again(gate: redis.Redis) -> None:
    campaign = poco_campaign()
    Channel.objects.filter(campaign=campaign, code=PARTNER).update(entries_max=4)
    line = {"code": "shared", "channels": [PARTNER, PAGE], "stock": {PHONE: 10}}
    sale = lobby_sale(campaign, lines=[line], max_entries=1000)
    assert how_many_enter(sale, people_of(sale, PARTNER, range(3))) == 3
    bridge.run(forget_copies())
    tend(sale)
    gate.flushall()
    bridge.run(tick.mend_all())
    tend(sale)
    assert how_many_enter(sale, people_of(sale, PARTNER, range(100, 103))) == 1
    assert how_many_enter(sale, people_of(sale, PAGE, range(200, 203))) == 3


def test_a_partner_that_shares_a_line_fills_half_of_it_at_most() -> None:
    line = {"code": "shared", "channels": [PARTNER, PAGE], "stock": {PHONE: 10}}
    sale = lobby_sale(lines=[line], max_entries=4)
    people = [Person(sale, PARTNER, phone=f"08123456781{n}", email=f"{n}@example.com") for n in range(3)]
    assert [person.enter().created for person in people[:2]] == [True, True]
    before = people[2].card
    assert refusal(people[2].enter) is Outcome.LINE_FULL
    assert people[2].card == before
    assert (people[0].enter().index, people[0].entry.created) == (1, False)
    others = [Person(sale, PAGE, phone=f"08123456782{n}", email=f"p{n}@example.com") for n in range(2)]
    assert [person.enter().index for person in others] == [3, 4]


def test_a_channel_has_a_maximum_of_its_own() -> None:
    campaign = poco_campaign()
    Channel.objects.filter(campaign=campaign, code=PARTNER).update(entries_max=1)
    line = {"code": "shared", "channels": [PARTNER, PAGE], "stock": {PHONE: 10}}
    sale = lobby_sale(campaign, lines=[line])
    Person(sale, PARTNER).enter()
    other = Person(sale, PARTNER, phone="081234567802", email="ani@example.com")
    assert refusal(other.enter) is Outcome.LINE_FULL


@pytest.mark.parametrize("channel", [PARTNER, PAGE])
def test_a_place_whose_number_is_known_cannot_be_sold_by_its_throwaway_mailbox(channel: str) -> None:
    sale = shared_line()
    seller = Person(sale, channel, email="throwaway@example.com")
    seller.enter()
    open_now(sale)
    buyer = Person(sale, channel, phone="081234567802", email="throwaway@example.com")
    assert refusal(buyer.enter) is Outcome.WRONG_IDENTITY
    # The refusal changed nothing: the buyer's own mailbox gets a new place at the end, as any person's.
    fresh = Person(sale, channel, phone="081234567802", email="ani@example.com")
    assert (fresh.enter().index, fresh.entry.created) == (2, True)
    assert (seller.enter().index, seller.entry.created) == (1, False)
    tend(sale)
    assert seller.state is PlaceState.CALLED


def test_before_the_draw_a_person_may_come_with_another_proof() -> None:
    sale = shared_line()
    first, second = Person(sale, PAGE), Person(sale, PAGE, email="other@example.com")
    assert (first.enter().index, second.enter().index, second.entry.created) == (1, 1, False)
