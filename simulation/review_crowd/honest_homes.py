"""Honest people who buy alone or within a family. Each function yields the orders of one household or group."""

from collections.abc import Iterator
from dataclasses import replace

from simulation.review_crowd.orders import Draft
from simulation.review_crowd.places import CITIES, Door
from simulation.review_crowd.town import Town


def single(town: Town) -> Iterator[Draft]:
    """One person, one door."""
    yield town.order(town.honest("single"), town.places.door())


def mobile(town: Town) -> Iterator[Draft]:
    """A person on a carrier's network, which many strangers share. The door is a house or a room."""
    door = town.places.door()
    network = town.contacts.mobile_network(CITIES[door.city][3])
    yield town.order(town.honest("mobile network"), door, network=network)


def fast(town: Town) -> Iterator[Draft]:
    """A person whose browser fills the form, and whose wallet pays with a fingerprint: done within seconds."""
    rng = town.rng
    payment = replace(town.contacts.payment(known=True), median_s=9)
    yield town.order(
        town.honest("fast"),
        town.places.door(),
        payment=payment,
        reaction_s=rng.uniform(2.2, 4.5),
        entered_ms=town.arrivals.near(-rng.randint(1000, 240_000), 40),
    )


def collector(town: Town) -> Iterator[Draft]:
    """A fan or the owner of a small shop: as many units as allowed, at times with a mailbox at an own domain."""
    name = town.names.person()
    if town.chance(0.25):
        words = name.plain
        domain = (
            town.mailboxes.shop_domain() if town.chance(0.5) else f"{''.join(words)}.{town.rng.choice(('com', 'id'))}"
        )
        email = f"{town.rng.choice((words[0], 'halo', 'info', 'admin'))}@{domain}"
    else:
        email = town.mailboxes.own(name)
    yield town.order(
        town.honest("collector"), town.places.door(), name=name, email=email, quantity=town.terms.limit, reaction_s=7
    )


def odd_spelling(town: Town) -> Iterator[Draft]:
    """A person whose name, mailbox and address look strange: a nickname, a son's mailbox, no commas, slips."""
    name, door = town.names.person(), town.places.door()
    email = town.mailboxes.own(town.names.person() if town.chance(0.35) else name, nickname=0.6)
    if town.chance(0.05):
        email = town.mailboxes.random_letters(town.mailboxes.provider())
    draft = town.order(
        town.honest("odd spelling"),
        door,
        name=name,
        email=email,
        spelling=town.places.spelling(odd=True),
        reaction_s=22,
    )
    if town.chance(0.4):
        draft.address = town.places.mistyped(draft.address)
    if town.chance(0.25):
        draft.name = town.places.mistyped(draft.name)
    yield draft


def household(town: Town) -> Iterator[Draft]:
    """Two to five people behind one door. They may share card, tablet, surname, provider of mail and spelling."""
    rng = town.rng
    size = rng.choices((2, 3, 4, 5), (62, 24, 10, 4))[0]
    door = town.places.door()
    truth = town.honest("household", town.next_id("household"))
    names = town.names.family(size)
    home = town.contacts.home_network(door.city, door.quarter) if town.chance(0.7) else ""
    card = town.contacts.payment(known=True) if town.chance(0.35) else None
    tablet = town.contacts.token() if town.chance(0.22) else ""
    habit, provider, channel = town.places.spelling(), town.mailboxes.provider(), town.channel()
    # Some mobile plans come as a pair of numbers in a row.
    pair = town.contacts.phones_in_a_row(2, step=1) if town.chance(0.03) else []
    liked = ""
    together, first = town.chance(0.65), town.arrivals.one()
    spread = rng.choice((15, 60, 240))
    for at, name in enumerate(names):
        draft = town.order(
            truth,
            door,
            name=name,
            email=town.mailboxes.own(name, domain=provider if town.chance(0.6) else ""),
            phone=pair[at] if at < len(pair) else "",
            payment=card if card and (at == 0 or town.chance(0.75)) else None,
            network=home if home and town.chance(0.75) else "",
            spelling=habit if town.chance(0.6) else None,
            entered_ms=town.arrivals.near(first, spread) if together else None,
        )
        if tablet and town.chance(0.8):
            draft.device = tablet
        if town.chance(0.6):
            draft.channel = channel
        if at and town.chance(0.45):
            draft.sku = liked
        liked = draft.sku
        yield draft


def large_family(town: Town) -> Iterator[Draft]:
    """Five to eight relatives of one compound, who each pay for themselves and talk about the sale at dinner."""
    rng = town.rng
    size, door = rng.randint(5, 8), town.places.door()
    truth = town.honest("large family", town.next_id("household"))
    home, habit = town.contacts.home_network(door.city, door.quarter), town.places.spelling()
    message, liked = town.arrivals.one(), town.sku()
    for name in town.names.family(size):
        draft = town.order(
            truth,
            door,
            name=name,
            network=home if town.chance(0.6) else "",
            spelling=habit if town.chance(0.5) else None,
            entered_ms=town.arrivals.after(message, 300) if town.chance(0.5) else None,
        )
        _follow(town, draft, sku=liked, channel=draft.channel, share=0.35)
        yield draft


def helper(town: Town) -> Iterator[Draft]:
    """A person who is good with phones, and who orders on one device for two or three friends and parents.

    Each has a number, a mailbox and a door of their own. Half of them pay from the helper's wallet and give the money
    back in cash.
    """
    rng, city = town.rng, town.places.city()
    device, wallet = town.contacts.token(), town.contacts.payment(known=True)
    own = town.places.door(city)
    network, begin, channel = town.network(own), town.arrivals.one(), town.channel()
    for at in range(rng.choice((2, 2, 3, 3, 4))):
        yield town.order(
            town.honest("helper"),
            town.places.door(city) if at else own,
            device=device if town.chance(0.85) else "",
            payment=wallet if at == 0 or town.chance(0.5) else None,
            network=network,
            entered_ms=town.arrivals.inside(begin + at * rng.randint(40_000, 200_000)),
            channel=channel,
        )


def village(town: Town) -> Iterator[Draft]:
    """Neighbours in a village for whom one agent orders: on the agent's phone, and paid at the agent's counter.

    Phones are their own, because the code must reach them. The agent makes a mailbox for the ones who have none, so
    mailboxes of one agent look alike. Each parcel goes to its own house, or to the agent.
    """
    rng = town.rng
    size = rng.choices((1, 2, 3, 4, 5, 6), (26, 30, 20, 12, 8, 4))[0]
    first = town.places.village()
    device, counter = town.contacts.token(), town.contacts.payment()
    agent_door = town.chance(0.25)
    network = town.contacts.mobile_network(CITIES[first.city][3])
    begin, habit = town.arrivals.one(), town.places.spelling()
    for at in range(size):
        name = town.names.person()
        door = first if at == 0 or agent_door else town.places.village(first.city, quarter=first.quarter)
        begin = town.arrivals.inside(begin + rng.randint(50_000, 420_000)) if at else begin
        yield town.order(
            town.honest("village"),
            door,
            name=name,
            email=town.mailboxes.pattern(name, rng.choice((2, 2, 3))) if town.chance(0.45) else "",
            payment=counter if town.chance(0.6) else None,
            network=network if town.chance(0.7) else "",
            spelling=habit if town.chance(0.7) else None,
            entered_ms=begin,
            reaction_s=25,
            device=device if town.chance(0.6) else "",
        )


def migrant(town: Town) -> Iterator[Draft]:
    """Somebody who works far away and buys for the family at home: pays here, the parcel goes there.

    A second order, under the name and number of mother or brother, comes from the same device and wallet.
    """
    rng = town.rng
    size = rng.choices((1, 2, 3), (62, 30, 8))[0]
    work, home = town.places.city(), town.places.village()
    truth = town.honest("migrant worker", town.next_id("household"))
    device, payment = town.contacts.token(), town.contacts.payment(known=True)
    network = town.contacts.mobile_network(CITIES[work][3])
    begin = town.arrivals.one()
    for at, name in enumerate(town.names.family(size)):
        door = home if at == 0 or town.chance(0.45) else town.places.village()
        yield town.order(
            truth,
            door,
            name=name,
            payment=payment if town.chance(0.8) else None,
            network=network,
            entered_ms=town.arrivals.near(begin, 90),
            device=device if town.chance(0.7) else "",
        )


def neighbours(town: Town) -> Iterator[Draft]:
    """Three to eight homes of one street that heard of the sale in the group of their neighbourhood."""
    rng, first = town.rng, town.places.door()
    message = town.arrivals.one()
    liked, channel = town.sku(), town.channel()
    for _ in range(rng.randint(3, 8)):
        door = town.places.door(first.city, quarter=first.quarter, street=first.street)
        draft = town.order(town.honest("neighbours"), door, entered_ms=town.arrivals.after(message, 150))
        _follow(town, draft, sku=liked, channel=channel, share=0.4)
        yield draft


def friends(town: Town) -> Iterator[Draft]:
    """Two to five friends at one table of a café: one network, one moment, doors of their own."""
    rng, city = town.rng, town.places.city()
    network, moment = town.contacts.site_network(), town.arrivals.one()
    liked, channel = town.sku(), town.channel()
    for _ in range(rng.randint(2, 5)):
        draft = town.order(
            town.honest("friends"),
            town.places.door(city),
            network=network if town.chance(0.85) else "",
            entered_ms=town.arrivals.near(moment, 25),
        )
        _follow(town, draft, sku=liked, channel=channel, share=0.45)
        yield draft


def _follow(town: Town, draft: Draft, *, sku: str, channel: str, share: float) -> None:
    """Lets a person of a group choose what the others chose, with a chance."""
    if town.chance(share):
        draft.sku = sku
    if town.chance(share):
        draft.channel = channel


def in_room(door: Door, room: str) -> Door:
    """The same door with a room behind it."""
    return replace(door, room=room)
