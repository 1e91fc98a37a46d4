"""Honest people of the second crowd at places that strangers share: boarding houses, offices, a campus, desks."""

from simulation.second_crowd.addresses import Home
from simulation.second_crowd.honest_homes import honest
from simulation.second_crowd.people import plain
from simulation.second_crowd.town import Town
from simulation.second_crowd.words import BOARDING_HOUSES, DESKS, FIRM_FIRST, FIRM_SECOND, STREETS, UNIVERSITIES


def kost_place(town: Town, *, labelled: bool) -> Home:
    """A boarding house, a dormitory or a Koran school."""
    dice, rng = town.dice, town.rng
    area = town.places.area(rng.choice(UNIVERSITIES)[2]) if dice.chance(0.6) else town.places.area()
    if labelled:
        label, rooms = rng.choice(BOARDING_HOUSES), "kamar"
    else:
        named = dice.chance(0.5)
        label = dice.one("Bu Yati", "Pak RT", "H. Mansur", "", "", "", "rumah pagar hijau") if named else ""
        rooms = dice.one("kamar", "kmr", "no", "")
    home = town.places.shared(label, 0.93 if labelled else 0.4, area, rooms)
    home.network_known, home.network = True, dice.network() if dice.chance(0.72) else None
    return home


def kost_people(town: Town, kind: str, home: Home, people: int) -> None:
    """People of a boarding house. A third of the houses has a chat; a laptop is lent now and then."""
    dice, winners = town.dice, town.moments.winners(people)
    sku, channel, chat = town.sku(), town.channel(), dice.chance(0.35)
    wifi, rooms = town.rng.uniform(0.3, 0.85), dice.chance(0.6)
    last: str | None = None
    for moment in town.moments.together(people, winners, 50_000, 0.9, 0.55 if chat else 0.92):
        room = town.places.in_room(home, None if rooms and dice.chance(0.6) else "")
        phone = town.phones.one()
        device = last if last and dice.chance(0.025) else None
        at_home = home.network if home.network and dice.chance(wifi) else None
        last = town.order(
            honest(town, kind),
            room,
            phone=phone,
            network=at_home or town.networks.mobile(phone, home.area.region),
            device=device,
            entered_ms=moment,
            sku=sku if chat and dice.chance(0.4) else None,
            channel=channel if chat and dice.chance(0.4) else None,
            quantity=town.quantity(0.5),
        ).device


def kost_labelled(town: Town) -> None:
    """A boarding house that has a name."""
    _kost(town, "kost_labelled", labelled=True)


def kost_plain(town: Town) -> None:
    """A boarding house without a label, or with the name of its landlady only."""
    _kost(town, "kost_plain", labelled=False)


def _kost(town: Town, kind: str, *, labelled: bool) -> None:
    place = kost_place(town, labelled=labelled)
    kost_people(town, kind, place, _size(town, 3, 11, most=40))


def _size(town: Town, least: int, more: float, *, most: int) -> int:
    """How many people of a place try to buy: on average `more` above the least number, and at most `most`."""
    return min(most, least + int(town.rng.expovariate(1 / more)))


def office_place(town: Town, *, labelled: bool) -> Home:
    """A firm. All its parcels go to the same desk."""
    dice, rng = town.dice, town.rng
    firm = f"{rng.choice(FIRM_FIRST)} {rng.choice(FIRM_SECOND)}"
    if labelled:
        label = dice.one("PT ", "PT. ", "PT ", "CV. ", "Kantor ", "Bank ", "RS ", "Dinas ") + firm
    else:
        form = dice.one(
            "Gedung Graha {} lt {}", "Menara {} lt. {}", "Ruko {} Blok B{}", "Kawasan Industri {} Blok C{}", ""
        )
        label = form.format(rng.choice(FIRM_FIRST), rng.randint(1, 24))
    area, rooms = town.places.area(), dice.one("lt", "Divisi", "bagian", "up")
    home = town.places.shared(label, 0.95 if labelled else 0.55, area, rooms)
    home.network_known, home.network = True, dice.network()
    home.domain = plain(firm) + dice.one(".co.id", ".co.id", ".com", ".id")
    return home


def office_people(town: Town, kind: str, home: Home, people: int) -> None:
    """Colleagues, most of them on the firm's network. Some have mailboxes of the firm, or numbers of its plan."""
    dice, rng, winners = town.dice, town.rng, town.moments.winners(people)
    company_mail, on_network = rng.choice((0, 0.15, 0.35, 0.6, 0.8)), rng.uniform(0.45, 0.95)
    phones = town.phones.row(winners, gap=4) if dice.chance(0.1) else []
    sku, channel, chat = town.sku(), town.channel(), dice.chance(0.45)
    for moment in town.moments.together(people, winners, 60_000, 0.9, 0.5 if chat else 0.85):
        room = dice.one("", "", "", "HRD", "IT", "Finance", "Produksi", "Gudang", "Resepsionis", "3", "5")
        at_work, name = dice.chance(0.78), town.names.full()
        town.order(
            honest(town, kind),
            town.places.in_room(home, room) if at_work else town.places.home(),
            name=name,
            phone=phones.pop() if phones and dice.chance(0.7) else None,
            email=town.mailboxes.own(name, home.domain) if dice.chance(company_mail) else None,
            network=home.network if dice.chance(on_network) else None,
            entered_ms=moment,
            sku=sku if chat and dice.chance(0.3) else None,
            channel=channel if chat and dice.chance(0.35) else None,
        )


def office_labelled(town: Town) -> None:
    """A firm whose name stands in the address."""
    office_people(town, "office_labelled", office_place(town, labelled=True), _size(town, 4, 14, most=90))


def office_plain(town: Town) -> None:
    """A firm of which the address shows the building only."""
    office_people(town, "office_plain", office_place(town, labelled=False), _size(town, 4, 9, most=60))


def campus(town: Town) -> None:
    """One message five minutes before the opening. All buy for themselves, many of them the same model."""
    dice, rng = town.dice, town.rng
    university, host, city = rng.choice(UNIVERSITIES)
    people = _size(town, 8, 28, most=120)
    winners = town.moments.winners(people)
    network, area = dice.network(), town.places.area(city)
    label = dice.one("Gedung Fakultas Teknik ", "Kampus ", "Sekretariat BEM ", "FEB ", "FMIPA ") + university
    faculty = town.places.shared(label, 0.95, area, "jurusan")
    houses = [kost_place(town, labelled=dice.chance(0.5)) for _ in range(3)]
    for house in houses:
        house.area = area
    message = max(5000, town.terms.opened_ms - 300_000 + rng.gauss(0, 15_000))
    sku, channel = town.sku() if dice.chance(0.4) else town.terms.skus[0], town.channel()
    times = [
        town.moments.after(message, 75_000, 1.0) if dice.chance(0.75) else town.moments.arrival() for _ in range(people)
    ]
    times = town.moments.divided(times, winners)
    same_sku, same_channel, own_mail = rng.uniform(0.5, 0.8), rng.uniform(0.6, 0.9), rng.uniform(0.05, 0.45)
    for moment in times:
        home = _student_home(town, faculty, houses, city)
        name, phone = town.names.full(), town.phones.one()
        town.order(
            honest(town, "campus"),
            home,
            name=name,
            phone=phone,
            email=town.mailboxes.own(name, host) if dice.chance(own_mail) else None,
            network=network if dice.chance(0.5) else town.networks.mobile(phone, area.region),
            entered_ms=moment,
            sku=sku if dice.chance(same_sku) else None,
            channel=channel if dice.chance(same_channel) else None,
            quantity=town.quantity(0.3),
            alert=1.2,
        )


def _student_home(town: Town, faculty: Home, houses: list[Home], city: str) -> Home:
    """The faculty's address, a boarding house, a home of the city, or one elsewhere."""
    where = town.rng.random()
    if where < 0.13:
        return faculty
    if where < 0.35:
        return town.places.in_room(town.rng.choice(houses))
    return town.places.home(town.places.area(city) if where < 0.75 else None)


def pickup_place(town: Town, *, labelled: bool) -> Home:
    """A desk, a locker, a counter of a mall, or a cargo agent. Most people paste the address text of the desk."""
    dice, rng = town.dice, town.rng
    if labelled:
        label = f"{rng.choice(DESKS)} {rng.choice(STREETS)}"
    else:
        form = dice.one(
            "Mal {} lt UG no {}", "Plaza {} Lt. 2 Kios {}", "ITC {} lt dasar blok A{}", "Gudang Kargo {} {}",
            "Toko {} {}", "Ekspedisi {} Line {}",
        )  # fmt: skip
        label = form.format(rng.choice(FIRM_FIRST), rng.randint(1, 60))
    home = town.places.shared(label, 1.0 if labelled else 0.8, town.places.area())
    home.template = town.style() if dice.chance(0.7) else None
    home.codes = dice.chance(0.3)
    return home


def customer_code(town: Town) -> str:
    """The code by which a cargo agent knows a customer."""
    return f"kode {town.rng.choice('ABKM')}{town.rng.randint(100, 9999)}"


def pickup_people(town: Town, kind: str, desk: Home, people: int) -> None:
    """Strangers who fetch their parcels at a desk. They have neither a network nor a moment in common."""
    dice = town.dice
    for _ in range(people):
        lives = town.places.home(town.places.area(desk.area.city) if dice.chance(0.8) else None)
        phone = town.phones.one()
        town.order(
            honest(town, kind),
            desk,
            phone=phone,
            network=town.networks.usual(phone, lives),
            style=desk.template if desk.template and dice.chance(0.85) else None,
            extra=customer_code(town) if dice.chance(0.9) and desk.codes else "",
        )


def pickup_labelled(town: Town) -> None:
    """A desk that has a name."""
    pickup_people(town, "pickup_labelled", pickup_place(town, labelled=True), _size(town, 2, 10, most=60))


def pickup_plain(town: Town) -> None:
    """A desk of which the address shows the building only."""
    pickup_people(town, "pickup_plain", pickup_place(town, labelled=False), _size(town, 2, 10, most=60))
