"""The same seed gives the same crowd, and a crowd has every kind of person that a story needs."""

from flashsale.rules.identity import Axis, canonical_value
from simulation.people import Kind, PeopleFactory

CHANNELS = {"lazada": 0.5, "mi.com": 0.5}


def test_the_same_seed_makes_the_same_people() -> None:
    assert PeopleFactory(seed=1).crowd(size=100, channels=CHANNELS) == PeopleFactory(seed=1).crowd(
        size=100, channels=CHANNELS
    )


def test_every_person_has_their_own_phone_and_mailbox() -> None:
    people = PeopleFactory(seed=1, mark=7).crowd(size=500, channels=CHANNELS)

    assert len({canonical_value(Axis.PHONE, person.phone) for person in people}) == 500
    assert len({canonical_value(Axis.EMAIL, person.email) for person in people}) == 500


def test_a_crowd_has_all_kinds() -> None:
    assert {person.kind for person in PeopleFactory(seed=1).crowd(size=100, channels=CHANNELS)} == set(Kind)


def test_a_ring_shares_a_device_and_a_card_belongs_to_two_family_members() -> None:
    people = PeopleFactory(seed=1).crowd(size=2000, channels=CHANNELS)
    ring = [person for person in people if person.ring == "ring 1"]
    cards = [person.card for person in people if person.kind is Kind.FAMILY]

    assert len({person.device for person in ring}) == 1
    assert max(cards.count(card) for card in cards) == 2


def test_an_alias_keeps_the_phone_and_changes_the_mailbox() -> None:
    person = PeopleFactory(seed=1).person(Kind.RESELLER, "lazada")
    alias = person.alias(3, "akulaku")

    assert alias.phone == person.phone
    assert canonical_value(Axis.EMAIL, alias.email) != canonical_value(Axis.EMAIL, person.email)
