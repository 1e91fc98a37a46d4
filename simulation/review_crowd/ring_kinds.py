"""The kinds of rings: what each of them has and how it works.

A ring must solve four problems: phones that receive a code, mailboxes, a way to pay, and doors at which the parcels
arrive. The doors are the hardest, because each order needs a person who takes the parcel. So also a careful ring has
fewer doors than orders, or doors in one quarter.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from simulation.review_crowd.contacts import Payment
from simulation.review_crowd.honest_homes import single
from simulation.review_crowd.honest_places import desk_door, desk_people, kost_door, kost_people
from simulation.review_crowd.orders import Draft
from simulation.review_crowd.places import CITIES, Door
from simulation.review_crowd.rings import Plan, carry_out
from simulation.review_crowd.town import Town


def _habits(town: Town) -> tuple[str, str, bool]:
    """Names, mailboxes and phones of an ordinary ring."""
    careful = town.chance(town.terms.care)
    names = town.rng.choices(("real", "invented", "boss"), (5, 2, 1) if careful else (3, 5, 2))[0]
    kinds = ("own", "mixed", "pattern", "random", "domain", "plus", "disposable")
    mail = town.rng.choices(kinds, (10, 6, 4, 1, 0, 0, 0) if careful else (3, 4, 7, 3, 3, 1, 2))[0]
    return names, mail, town.chance(0.12 if careful else 0.42)


def _tokens(town: Town, count: int) -> list[str]:
    return [town.contacts.token() for _ in range(count)]


def _wallets(town: Town, count: int) -> list[Payment]:
    return [town.contacts.payment(known=True) for _ in range(count)]


def _networks(town: Town, door: Door, size: int) -> list[str]:
    """The home's network, the phones of one carrier, a public VPN or rented servers."""
    rng, contacts = town.rng, town.contacts
    how = rng.choices(("home", "mobile", "tunnel", "rented", "own"), (40, 30, 6, 8, 16))[0]
    if how == "home":
        return [contacts.home_network(door.city, door.quarter)]
    if how == "mobile":
        carrier = contacts.carrier()
        return [contacts.mobile_network(CITIES[door.city][3], carrier) for _ in range(max(2, size // 3))]
    if how == "tunnel":
        return [contacts.tunnel() for _ in range(max(1, size // 6))]
    if how == "rented":
        block = contacts.rented_block()
        return [contacts.inside(block) for _ in range(max(1, size // 2))]
    return []


def _door(town: Town, *, city: int | None = None, quarter: str = "") -> Door:
    """A door for parcels: mostly a house, at times a shop with its name, or a house in a village."""
    chance = town.rng.random()
    if chance < 0.07 and not quarter:
        return town.places.village(city)
    door = town.places.door(city, quarter=quarter)
    if chance > 0.88:
        domain = town.mailboxes.shop_domain()
        return replace(
            door, label=f"{town.rng.choice(('Toko', 'CV', 'Konter', 'Kios'))} {domain.partition('.')[0].title()}"
        )
    return door


def _doors(town: Town, count: int, *, near: float) -> list[Door]:
    """Doors of one city; a share of them in one quarter."""
    first = _door(town)
    more = [_door(town, city=first.city, quarter=first.quarter if town.chance(near) else "") for _ in range(count - 1)]
    return [first, *more]


def _plan(town: Town, kind: str, size: int, doors: Sequence[Door]) -> Plan:
    names, mail, row = _habits(town)
    return Plan(
        kind,
        size,
        list(doors),
        doors[0].city,
        names=names,
        mail=mail,
        row=row,
        networks=_networks(town, doors[0], size),
        spelling=town.rng.choices(("alike", "own", "varied"), (35, 40, 25))[0],
        entering=town.rng.choices(("burst", "wave", "spread", "staggered"), (30, 30, 22, 18))[0],
        reaction_s=town.rng.choice((1.0, 4.0, 7.0, 12.0)),
        pay_factor=town.rng.choice((0.2, 0.5, 0.8, 1.0)),
        focus=town.rng.uniform(0.5, 1.0),
        one_channel=town.rng.uniform(0.3, 1.0),
        greed=town.rng.uniform(0.8, 1.0),
    )


# --- the kinds
def one_door(town: Town, most: int) -> Plan:
    """Many orders to one door, with cards and devices of their own or of a small pool."""
    return _at_one_door(town, "one door", _size(town, 5, 45, most), _door(town))


def _at_one_door(town: Town, kind: str, size: int, door: Door) -> Plan:
    plan = _plan(town, kind, size, [door])
    if town.chance(0.5):
        plan.payments = _wallets(town, max(2, size // town.rng.randint(2, 5)))
    if town.chance(0.45):
        plan.devices = _tokens(town, max(2, size // town.rng.randint(2, 5)))
    return plan


def staggered(town: Town, most: int) -> Plan:
    """One door, and everything else mixed on purpose: time, channel, model, card, device, spelling."""
    plan = _plan(town, "staggered", _size(town, 6, 40, most), _doors(town, town.rng.randint(1, 2), near=0.8))
    plan.entering, plan.spelling = "staggered", town.rng.choice(("own", "varied"))
    plan.focus, plan.one_channel = town.rng.uniform(0.0, 0.5), 0.0
    plan.reaction_s, plan.reaction_sigma, plan.pay_factor = 12.0, 0.8, 1.0
    return plan


def several_doors(town: Town, most: int) -> Plan:
    """Two to seven doors of relatives and shops, one pool of cards and devices."""
    size = _size(town, 8, 60, most)
    plan = _plan(town, "several doors", size, _doors(town, town.rng.randint(2, 7), near=0.4))
    plan.payments = _wallets(town, max(2, size // town.rng.randint(3, 6))) if town.chance(0.8) else []
    plan.devices = _tokens(town, max(2, size // town.rng.randint(3, 6))) if town.chance(0.75) else []
    return plan


def hired(town: Town, most: int) -> Plan:
    """Real people who buy for a fee: own names, phones, devices and wallets, the parcels go to the collector."""
    size = _size(town, 6, 50, most)
    doors = _doors(town, max(1, min(5, size // town.rng.randint(5, 12))), near=0.5)
    return Plan(
        "hired people",
        size,
        doors,
        doors[0].city,
        entering=town.rng.choice(("wave", "wave", "spread")),
        spelling=town.rng.choice(("own", "alike")),  # some copy the text that the collector sent
        reaction_s=8.0,
        reaction_sigma=0.75,
        focus=town.rng.uniform(0.75, 1.0),
        one_channel=town.rng.uniform(0.5, 1.0),
        greed=0.95,
    )


def careful(town: Town, most: int) -> Plan:
    """Own device, wallet, phone and mailbox for each order; common are the model, the time and the quarter."""
    size = _size(town, 5, 40, most)
    doors = _doors(town, max(2, round(size / town.rng.uniform(1.0, 4.0))), near=0.85)
    return Plan(
        "careful",
        size,
        doors,
        doors[0].city,
        entering=town.rng.choice(("wave", "spread", "spread")),
        reaction_s=town.rng.choice((5.0, 9.0)),
        focus=town.rng.uniform(0.75, 1.0),
        one_channel=town.rng.uniform(0.4, 1.0),
        greed=town.rng.uniform(0.7, 1.0),
    )


def small(town: Town, most: int) -> Plan:
    """Three to seven orders of one person: own door, two or three phones, the wallets of the family."""
    size = min(most, town.rng.randint(3, 7))
    plan = _plan(town, "small", size, _doors(town, 1 if town.chance(0.75) else 2, near=0.7))
    if town.chance(0.6):
        plan.devices = _tokens(town, town.rng.randint(1, 3))
    if town.chance(0.6):
        plan.payments = _wallets(town, town.rng.randint(1, 3))
    return plan


def workshop(town: Town, most: int) -> Plan:
    """Eight to thirty orders that one program places: few devices, few wallets, names and mailboxes of a tool."""
    size = _size(town, 8, 30, most)
    plan = _plan(town, "workshop", size, _doors(town, town.rng.randint(1, 4), near=0.6))
    plan.devices, plan.payments = _tokens(town, town.rng.randint(1, 6)), _wallets(town, town.rng.randint(1, 5))
    plan.names, plan.mail = (
        "invented",
        town.rng.choice(("pattern", "pattern", "random", "domain", "disposable", "plus")),
    )
    plan.entering, plan.reaction_s, plan.pay_factor = "burst", town.rng.choice((0.5, 1.0)), 0.2
    return plan


def farm(town: Town, most: int) -> Plan:
    """Fifty to four hundred orders of a trade: boxes of prepaid cards, racks of phones, a dozen doors."""
    size = _size(town, 50, 400, most)
    plan = _plan(town, "farm", size, _doors(town, max(2, size // town.rng.randint(8, 25)), near=0.5))
    if town.chance(0.6):
        plan.devices = _tokens(town, max(8, size // town.rng.randint(3, 9)))
    plan.payments = _wallets(town, max(6, size // town.rng.randint(3, 8))) if town.chance(0.7) else []
    plan.row = town.chance(0.6)
    return plan


def at_pickup(town: Town, most: int) -> Plan:
    """A ring that lets its parcels go to a desk where honest people fetch theirs."""
    size, labelled = _size(town, 5, 30, most), town.chance(0.7)
    door = desk_door(town, labelled=labelled)
    plan = _plan(town, "at a pick-up point", size, [door])
    beside = round(size * town.rng.uniform(0.4, 2.0)) + 2
    plan.honest = list(desk_people(town, door, "pick-up point beside a ring", beside))
    return plan


def in_kost(town: Town, most: int) -> Plan:
    """A ring in a boarding house: the keeper or a group of students, with rooms that they make up."""
    size, labelled = _size(town, 4, 20, most), town.chance(0.6)
    door = kost_door(town, labelled=labelled)
    rooms = [replace(door, room=f"Kamar {town.rng.randint(1, 40)}" if labelled else "") for _ in range(size)]
    plan = _plan(town, "in a boarding house", size, rooms)
    plan.honest = list(kost_people(town, door, "boarding house beside a ring", town.rng.randint(2, 12)))
    return plan


def in_street(town: Town, most: int) -> Plan:
    """A ring at home, whose honest neighbours buy too, on the same block of home addresses."""
    door = town.places.door()
    plan = _at_one_door(town, "beside neighbours", _size(town, 5, 25, most), door)
    for _ in range(town.rng.randint(2, 5)):
        near = town.places.door(door.city, quarter=door.quarter, street=door.street)
        for draft in single(town):
            draft.truth = town.honest("neighbours of a ring")
            draft.address = town.places.typed(near, town.places.spelling())
            draft.network = town.contacts.home_network(door.city, door.quarter)
            plan.honest.append(draft)
    return plan


def _size(town: Town, fewest: int, most: int, allowed: int) -> int:
    """A size between two bounds, small ones more often, and no larger than the sale allows."""
    low, high = min(fewest, allowed), min(most, allowed)
    return min(high, round(low * (max(high, 1) / max(low, 1)) ** town.rng.random()))


Maker = Callable[[Town, int], Plan]
# Kind, share of the orders of all rings, mean size.
RINGS: tuple[tuple[Maker, float, float], ...] = (
    (one_door, 0.20, 18.0), (staggered, 0.12, 18.0), (several_doors, 0.14, 26.0), (hired, 0.10, 21.0),
    (careful, 0.07, 17.0), (small, 0.09, 5.0), (workshop, 0.07, 17.0), (farm, 0.10, 170.0), (at_pickup, 0.04, 14.0),
    (in_kost, 0.03, 10.0), (in_street, 0.04, 13.0),
)  # fmt: skip
RING_KINDS = (
    "one door", "staggered", "several doors", "hired people", "careful", "small", "workshop", "farm",
    "at a pick-up point", "in a boarding house", "beside neighbours",
)  # fmt: skip


def rings(town: Town, *, orders: int) -> Iterator[Draft]:
    """Rings until they have `orders` orders, with the honest people beside them. No ring has more than a sixth."""
    most = max(3, min(400, orders // 6))
    weights = [share / size * town.rng.uniform(0.5, 1.6) for _, share, size in RINGS]
    left = orders
    while left > 0:
        maker = town.rng.choices([maker for maker, _, _ in RINGS], weights)[0]
        plan = maker(town, most)
        if maker is farm and most < 50:
            continue
        left -= plan.size
        yield from carry_out(town, plan)
