"""Honest people who share a place: boarding houses, offices, campuses, pick-up desks, towers.

Each place comes with a label in its address (`Kost Melati, Kamar 12`) or without one, because people leave it out. The
functions take a place of their own or, for the neighbours of a ring, the place that the ring uses.
"""

from collections.abc import Iterator
from dataclasses import replace

from simulation.review_crowd.honest_homes import in_room
from simulation.review_crowd.orders import Draft
from simulation.review_crowd.places import CITIES, STREETS, Door
from simulation.review_crowd.town import Town

_DESKS = (
    "Alfamart Point {}", "Indomaret {}", "JNE Agen {}", "J&T Express Drop Point {}", "SiCepat Gerai {}",
    "Pickup Counter Mall {} Lt. 1", "Mi Store {} Plaza", "Shopee Express Hub {}",
)  # fmt: skip
_CAMPUSES = (
    ("Universitas Negeri {}", "students.un{}.ac.id"), ("Institut Teknologi {}", "mail.it{}.ac.id"),
    ("Politeknik {}", "poltek{}.ac.id"), ("STMIK {}", "student.stmik{}.ac.id"),
)  # fmt: skip


def kost_door(town: Town, *, labelled: bool) -> Door:
    """The door of a boarding house."""
    word = town.rng.choice(("Kost", "Kos", "Kost Putri", "Kos-kosan", "Wisma", "Rumah Kost", "Asrama"))
    label = f"{word} {town.rng.choice(('Bu ', 'Pak H. ', '', '', ''))}{town.rng.choice(STREETS)}"
    return replace(town.places.door(), label=label if labelled else "")


def desk_door(town: Town, *, labelled: bool) -> Door:
    """The door of a pick-up point."""
    door = town.places.door()
    label = town.rng.choice(_DESKS).format(town.rng.choice((door.street.split(" Gg.")[0], door.quarter)))
    return replace(door, label=label if labelled else "")


def kost_people(town: Town, door: Door, kind: str, size: int) -> Iterator[Draft]:
    """People of one boarding house: strangers to each other, some on its Wi-Fi, some told by one message."""
    rng = town.rng
    wifi = town.contacts.home_network(door.city, door.quarter)
    message, told = town.arrivals.lobby(), rng.uniform(0.0, 0.6)
    rooms = rng.sample(range(1, 41), size)
    habit = rng.choice(("Kamar {}", "Kmr {}", "kamar no {}", "Kamar {}"))
    for room in rooms:
        own = in_room(door, habit.format(room)) if door.label and town.chance(0.7) else door
        if own.label and town.chance(0.12):
            own = replace(own, label="")
        yield town.order(
            town.honest(kind),
            own,
            network=wifi if town.chance(0.4) else town.contacts.mobile_network(CITIES[door.city][3]),
            entered_ms=town.arrivals.after(message, 200) if town.chance(told) else None,
        )


def kost(town: Town) -> Iterator[Draft]:
    """A boarding house of 10 to 40 rooms; every third to eighth room buys."""
    size = max(2, round(town.rng.randint(10, 40) * town.rng.uniform(0.12, 0.36)))
    yield from kost_people(town, kost_door(town, labelled=True), "kost", size)


def bare_kost(town: Town) -> Iterator[Draft]:
    """A boarding house whose people write the street and the number, and no word more."""
    size = max(2, round(town.rng.randint(10, 40) * town.rng.uniform(0.1, 0.32)))
    yield from kost_people(town, kost_door(town, labelled=False), "kost without label", size)


def desk_people(town: Town, door: Door, kind: str, size: int) -> Iterator[Draft]:
    """Strangers of one town who fetch their parcels at one desk."""
    for _ in range(size):
        own = replace(door, label="") if town.chance(0.08) else door
        yield town.order(
            town.honest(kind),
            own,
            network=town.network(replace(door, quarter=town.places.door(door.city).quarter)),
        )


def pickup(town: Town) -> Iterator[Draft]:
    """A pick-up desk of a mall, a chain store or a parcel service, with its name."""
    size = min(60, 3 + int(town.rng.expovariate(1 / 12)))
    yield from desk_people(town, desk_door(town, labelled=True), "pick-up point", size)


def bare_pickup(town: Town) -> Iterator[Draft]:
    """An agent in an ordinary house, where people of the quarter have their parcels sent."""
    size = min(16, 2 + int(town.rng.expovariate(1 / 4)))
    yield from desk_people(town, desk_door(town, labelled=False), "pick-up point without label", size)


def tower(town: Town) -> Iterator[Draft]:
    """A block of flats: one address, a unit each, home networks of one provider."""
    rng = town.rng
    size = 3 + int(rng.expovariate(1 / 7))
    base = town.places.door()
    label = f"{rng.choice(('Apartemen', 'Apt.', 'Rusunawa', 'Apartment'))} {rng.choice(STREETS)}"
    for _ in range(min(size, 40)):
        unit = f"Tower {rng.choice('ABC')} Lt. {rng.randint(1, 28)} Unit {rng.randint(1, 24)}"
        yield town.order(
            town.honest("tower"), replace(base, label=label, room=unit), network=town.network(base, at_home=0.5)
        )


def office_people(town: Town, kind: str, *, labelled: bool) -> Iterator[Draft]:
    """Colleagues who buy in a break, on payday more of them: one address, one network, mailboxes of the firm.

    The firm may get its mobile numbers in a row. Half of them pay through the bank of their salary, which leaves no
    fingerprint.
    """
    rng = town.rng
    size = min(34, rng.randint(2, 5) + int(rng.expovariate(1 / (9 if town.terms.payday else 3.5))))
    domain = town.mailboxes.shop_domain() if labelled else ""
    label = (
        f"{rng.choice(('PT', 'CV', 'Kantor', 'Bank', 'Toko'))} {domain.partition('.')[0].title()}" if labelled else ""
    )
    door = replace(town.places.door(), label=label)
    floor = rng.choice(("", "", "Lt. {}")).format(rng.randint(2, 18))
    network, message = town.contacts.site_network(), town.arrivals.lobby()
    numbers = town.contacts.phones_in_a_row(size, step=3) if town.chance(0.06) else []
    told, at_work = rng.uniform(0.2, 0.8), rng.uniform(0.3, 0.9) if domain else 0.0
    liked = town.sku()
    for at in range(size):
        name = town.names.person()
        draft = town.order(
            town.honest(kind),
            in_room(door, floor) if floor and town.chance(0.7) else door,
            name=name,
            email=town.mailboxes.at_work(name, domain) if town.chance(at_work) else "",
            phone=numbers[at] if numbers and town.chance(0.7) else "",
            network=network if town.chance(0.65) else "",
            entered_ms=town.arrivals.after(message, 240) if town.chance(told) else None,
        )
        if town.chance(0.3):
            draft.sku = liked
        yield draft


def office(town: Town) -> Iterator[Draft]:
    """An office that writes its name."""
    yield from office_people(town, "office", labelled=True)


def bare_office(town: Town) -> Iterator[Draft]:
    """A workshop or a warehouse: a street and a number, private mailboxes, one network."""
    yield from office_people(town, "office without label", labelled=False)


def campus(town: Town) -> Iterator[Draft]:
    """Students whom one message in a group tells at 09:55: one network, the cheapest model, within minutes.

    Parcels go to their own rooms and homes around the campus, some to the campus.
    """
    rng = town.rng
    size = min(40, 4 + int(rng.expovariate(1 / 11)))
    word = rng.choice(STREETS)
    label, domain = (
        text.format(part) for text, part in zip(rng.choice(_CAMPUSES), (word, word.lower()[:5]), strict=True)
    )
    domain = domain.replace(" ", "")
    main = replace(town.places.door(), label=label)
    blocks = [town.contacts.site_network().rpartition(".")[0] for _ in range(rng.randint(1, 2))]
    message = town.arrivals.inside(-rng.randint(3, 8) * 60_000)
    student, focus, channel = rng.uniform(0.1, 0.6), rng.uniform(0.5, 0.85), town.channel()
    dormitory = kost_door(town, labelled=town.chance(0.5))
    for _ in range(size):
        name, chance = town.names.person(), rng.random()
        door = main if chance < 0.15 else dormitory if chance < 0.35 else town.places.door(main.city)
        draft = town.order(
            town.honest("campus"),
            door,
            name=name,
            email=town.mailboxes.at_work(name, domain) if town.chance(student) else "",
            network=town.contacts.inside(rng.choice(blocks)) if town.chance(0.6) else "",
            entered_ms=town.arrivals.after(message, 80),
            reaction_s=10,
            quantity=1,
        )
        if town.chance(focus):
            draft.sku = town.cheapest()
        if town.chance(focus):
            draft.channel = channel
        yield draft
