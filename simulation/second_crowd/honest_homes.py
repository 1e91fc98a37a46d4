"""Honest people of the second crowd who buy for a home: singles, families, neighbours, friends and those they help."""

from simulation.review_crowd.orders import Truth
from simulation.second_crowd.addresses import Home
from simulation.second_crowd.people import plain
from simulation.second_crowd.town import Draft, Town
from simulation.second_crowd.words import (
    APARTMENTS,
    CLANS,
    FEMALE,
    FIRM_FIRST,
    LAST,
    MALE,
    ONE_NAME,
    TOWERS,
)


def honest(town: Town, kind: str) -> Truth:
    """The truth about a person who lives in a household of one."""
    return Truth(kind, household=town.household())


def single(town: Town) -> None:
    """A person in any home, with a phone, device, mailbox and wallet of their own."""
    town.order(honest(town, "single"), town.places.home())


def single_mobile(town: Town) -> None:
    """A person on a carrier's network."""
    phone, home = town.phones.one(), town.places.home()
    network = town.networks.mobile(phone, home.area.region)
    town.order(honest(town, "single_mobile"), home, phone=phone, network=network)


def random_mailbox(town: Town) -> None:
    """A person whose mailbox looks as if a program had made it."""
    name = town.names.full()
    home = town.places.home()
    town.order(honest(town, "random_mailbox"), home, name=name, email=town.mailboxes.odd(name))


def odd_speller(town: Town) -> None:
    """A person who makes a typing error in every fourth word."""
    town.order(honest(town, "odd_speller"), town.places.home(), odd=True)


def collector(town: Town) -> None:
    """Follows releases, with a form that fills itself and a saved wallet. Some use a program that clicks. They buy for
    themselves, and some with a spouse's account too.
    """
    dice = town.dice
    home, truth, payer = town.places.home(), honest(town, "collector"), town.payer()
    device, first = dice.device(), town.moments.arrival(0)
    for at in range(1 if dice.chance(0.78) else 2):
        methods = town.rng.choice((("wallet", "credit", "card"), ("wallet", "credit", "card"), ("va",)))
        fast = dice.chance(0.75)
        town.order(
            truth,
            home,
            payer=payer,
            methods=methods,
            device=device if dice.chance(0.4) else dice.device(),
            network=town.networks.fixed(home, 0.9),
            entered_ms=town.moments.after(first, 9000, 0.7) if at else first,
            quantity=town.terms.limit if dice.chance(0.75) else 1,
            reaction_ms=dice.around(700, 0.5) + 120 if fast else None,
            paying_ms=dice.around(2600, 0.45) + 600 if fast and methods[0] != "va" else None,
            alert=1.8,
        )


class _Household:
    """A family behind one door. In a third of them one member orders for all, one account after the other."""

    def __init__(self, town: Town, kind: str, people: int) -> None:
        dice = town.dice
        self.town, self.home, self.truth = town, town.places.home(), honest(town, kind)
        self.one_hand = one = dice.chance(0.38 if people > 2 else 0.3)
        winners = town.moments.winners(people, 1.25 if one else 1.05)
        median, alone = (35_000, 0.1) if one else (None, 0.5)
        self.times = town.moments.together(people, winners, median, 0.7, alone)
        self.tail = town.rng.choice(CLANS + LAST + LAST) if dice.chance(0.27) else None
        self.payer = town.payer() if dice.chance(0.75 if one else 0.4) else None
        self.tablet = dice.device()
        self.channel, self.sku = town.channel(), town.sku()
        self.style = town.style() if dice.chance(0.8 if one else 0.3) else None
        self.address: str | None = None
        town.networks.fixed(self.home)
        # Carriers sell pairs of numbers to couples.
        self.phones = town.phones.row(2) if people == 2 and dice.chance(0.02) else []

    def order(self, entered_ms: float) -> Draft:
        """The order of one member."""
        town, dice, one = self.town, self.town.dice, self.one_hand
        phone = self.phones.pop() if self.phones else None
        channel = self.channel if dice.chance(0.85 if one else 0.5) else town.channel()
        tail = self.tail if self.tail and dice.chance(0.8) else None
        device = self.tablet if dice.chance(0.55 if one else 0.12) else None
        payer = self.payer if self.payer and dice.chance(0.85) else None
        return town.order(
            self.truth,
            self.home,
            tail=tail,
            phone=phone,
            device=device,
            payer=payer,
            methods=("wallet", "card", "credit") if self.payer and dice.chance(0.6) else (),
            channel=channel,
            sku=self.sku if dice.chance(0.6 if one else 0.42) else None,
            entered_ms=entered_ms,
            crew=(self.truth.household, 1) if one else None,
            style=self.style if self.style and dice.chance(0.8) else None,
            network=self._network(),
            address=None if town.terms.channels[channel].adds_area else self.address,
            quantity=town.quantity(0.7),
        )

    def _network(self) -> str | None:
        home, one = self.home, self.one_hand
        if home.network and (one or self.town.dice.chance(0.8)):
            return home.network
        return self.town.networks.mobile("62812", home.area.region) if one else None

    def place_orders(self) -> None:
        """The orders of all members. A member who orders for all may paste the address of the first order."""
        for moment in self.times:
            made = self.order(moment)
            if self.one_hand and self.town.dice.chance(0.6) and self.address is None:
                adds_area = self.town.terms.channels[made.channel].adds_area
                self.address = None if adds_area else made.address


def couple(town: Town) -> None:
    """Two people behind one door."""
    _Household(town, "couple", 2).place_orders()


def family(town: Town) -> None:
    """Two to five people who try."""
    people = town.rng.choices((2, 3, 4, 5), (0.15, 0.4, 0.3, 0.15))[0]
    _Household(town, "family", people).place_orders()


def large_family(town: Town) -> None:
    """Six to ten people who try."""
    _Household(town, "large_family", town.rng.choice((6, 6, 7, 8, 9, 10))).place_orders()


def neighbours(town: Town) -> None:
    """People of an alley, an estate, a village or a street."""
    kind = town.dice.one("gang", "gang", "perum", "perum", "village", "street")
    neighbours_of(town, "neighbours", town.places.home(kind=kind), town.rng.randint(3, 14))


def neighbours_of(town: Town, kind: str, base: Home, people: int) -> None:
    """People around a home. A chat tells 45 of 100 such groups; a fifth shares the connection of a neighbour."""
    dice, winners = town.dice, town.moments.winners(people)
    shared = dice.network() if dice.chance(0.22) else None
    sku, channel = town.sku(), town.channel()
    told = dice.chance(0.45)
    for moment in town.moments.together(people, winners, 60_000, 0.9, 0.45 if told else 0.9):
        home = town.places.beside(base)
        network = shared if shared and dice.chance(0.5) else None
        truth = honest(town, kind)
        town.order(
            truth,
            home,
            network=network,
            entered_ms=moment,
            sku=sku if told and dice.chance(0.25) else None,
            channel=channel if told and dice.chance(0.3) else None,
        )
        if dice.chance(0.06):  # a couple among them
            town.order(truth, home, entered_ms=town.moments.after(moment, 40_000, 0.8))


def apartment(town: Town) -> None:
    """Units of one tower, some with the building's connection."""
    dice, rng = town.dice, town.rng
    name, city = rng.choice(APARTMENTS)
    base = town.places.home(town.places.area(city), "apartment")
    tower = dice.one("Apartemen ", "Apt. ", "Apartment ", "Apt ") + name + dice.one(" Tower ", " tower ", " Twr ")
    base.street, base.number = tower + rng.choice(TOWERS), "1"
    base.rooms = dice.one("", "unit", "lt")
    people = min(40, 3 + int(rng.expovariate(1 / 9)))
    winners = town.moments.winners(people)
    shared = dice.network() if dice.chance(0.3) else None
    for moment in town.moments.together(people, winners, 60_000, 1, 0.93):
        home = town.places.beside(base)
        truth = honest(town, "apartment")
        network = shared if shared and dice.chance(0.55) else None
        town.order(truth, home, network=network, entered_ms=moment)
        if dice.chance(0.08):
            town.order(truth, home, entered_ms=town.moments.after(moment, 40_000, 0.8))


def village(town: Town) -> None:
    """There are no numbers of houses. The courier leaves all parcels at the village office or at a stall."""
    dice, rng, area = town.dice, town.rng, town.places.area(rural=True)
    home = town.places.home(area, "village")
    home.label, home.label_share = _village_label(town, area.quarter), 0.9
    people = min(25, 2 + int(rng.expovariate(1 / 5)))
    winners = town.moments.winners(people)
    shared = dice.network() if dice.chance(0.35) else None
    one_mast = dice.chance(0.5)
    for moment in town.moments.together(people, winners, 90_000, 1, 0.75):
        phone = town.phones.one(("tsel",) if one_mast and dice.chance(0.8) else ())
        own = shared if shared and dice.chance(0.55) else town.networks.mobile(phone, area.region)
        named = bool(dice.one("", "", "a.n. ", "utk "))
        extra = f"u/ {town.names.full().split()[0]}" if named else ""
        town.order(honest(town, "village"), home, phone=phone, network=own, entered_ms=moment, extra=extra)


def _village_label(town: Town, quarter: str) -> str:
    return town.dice.one(
        f"Kantor Desa {quarter}",
        f"Balai Desa {quarter}",
        f"Warung Bu {town.rng.choice(FEMALE)}",
        f"Toko {town.rng.choice(LAST)}",
        f"Warung kopi Pak {town.rng.choice(MALE)}",
        "Masjid Nurul Huda",
        f"depan SDN 1 {quarter}",
        "Rumah Pak Kades",
    )


def friends(town: Town) -> None:
    """They agree on a moment, and mostly on a model and a channel. A quarter of the groups sits in one café."""
    dice, people = town.dice, town.rng.randint(3, 9)
    winners = town.moments.winners(people, 1.15)
    area = town.places.area()
    cafe = dice.network() if dice.chance(0.25) else None
    sku, channel = town.sku(), town.channel()
    payer = town.payer() if dice.chance(0.1) else None
    for moment in town.moments.together(people, winners, 18_000, 0.8, 0.15):
        truth = honest(town, "friends")
        town.order(
            truth,
            town.places.home(town.places.area(area.city) if dice.chance(0.8) else None),
            network=cafe if cafe and dice.chance(0.85) else None,
            entered_ms=moment,
            sku=sku if dice.chance(0.6) else None,
            channel=channel if dice.chance(0.75) else None,
            payer=payer if payer and dice.chance(0.6) else None,
            methods=("card", "wallet") if payer else (),
            alert=1.2,
        )


def migrant(town: Town) -> None:
    """People far away share a dormitory. The parcels go to their parents. Brothers are one household."""
    dice, rng = town.dice, town.rng
    shared = dice.network() if dice.chance(0.75) else rng.choice(town.networks.vpn)
    people = min(12, 1 + int(rng.expovariate(1 / 2.5)))
    winners = town.moments.winners(people)
    sku = town.sku()
    for moment in town.moments.together(people, winners, 90_000, 1, 0.7):
        truth, home = honest(town, "migrant"), town.places.home(town.places.area(rural=dice.chance(0.7)))
        parent, payer = town.names.full(), town.payer()
        for at in range(2 if dice.chance(0.12) else 1):
            name = town.names.full(area=home.area)
            town.order(
                truth,
                home,
                name=name,
                email=town.mailboxes.own(town.names.full() if dice.chance(0.25) else name),
                network=shared if dice.chance(0.8) else None,
                payer=payer,
                entered_ms=town.moments.after(moment, 60_000, 0.8) if at else moment,
                sku=sku if dice.chance(0.2) else None,
                extra=f"d/a {dice.one('Ibu ', 'Bpk ', 'Pak ')}{parent}" if dice.chance(0.4) else "",
                quantity=town.quantity(1.3),
            )


def helper(town: Town) -> None:
    """A young person orders for old neighbours on one device, with mailboxes made that morning."""
    dice, rng, base, helps = town.dice, town.rng, town.places.home(), town.names.full()
    people = min(6, 1 + town.moments.winners(rng.randint(1, 5), 1.25))
    crew, device, payer = (dice.next_id("w"), 1), dice.device(), town.payer()
    phone = town.phones.one()
    network = town.networks.fixed(base) or town.networks.mobile(phone, base.area.region)
    channel, sku, moment = town.channel(), town.sku(), town.moments.arrival()
    fresh, style = dice.one("fresh", "fresh", "real") == "fresh", town.style()
    for at in range(people):
        name = helps if at == 0 else rng.choice(ONE_NAME) if dice.chance(0.5) else town.names.full()
        email = _fresh_mailbox(town, name, base.rt) if at and fresh else None
        town.order(
            honest(town, "helper"),
            town.places.beside(base) if at else base,
            name=name,
            phone=None if at else phone,
            email=email,
            device=device if dice.chance(0.85) else None,
            network=network,
            payer=payer if dice.chance(0.6) else None,
            channel=channel if dice.chance(0.9) else None,
            sku=sku if dice.chance(0.55) else None,
            entered_ms=moment,
            crew=crew,
            style=style,
            quantity=1,
        )
        moment = town.moments.after(moment, 70_000, 0.4)


def _fresh_mailbox(town: Town, name: str, rt: int) -> str | None:
    """A mailbox that a helper made for an old person."""
    dice, first = town.dice, plain(name.split(maxsplit=1)[0])
    email = None
    for attempt in range(40):
        local = dice.one("ibu", "pak", "mbah", "") + first + (dice.digits(1, 999) if attempt else "")
        local += dice.one("", f".rt{rt:02d}", "hp", "baru") + ("xx" if len(first) < 4 else "")
        email = town.mailboxes.claim(local, "gmail.com")
        if email and len(email) > 15:
            break
    return email


def phone_counter(town: Town) -> None:
    """A stall that sells credit helps customers: its tablets, its wallet, cash over the counter."""
    dice = town.dice
    label = f"Konter {town.rng.choice(FIRM_FIRST)} Cell"
    stall = town.places.shared(label, 1, town.places.area())
    network = dice.network() if dice.chance(0.6) else None
    people = town.moments.winners(town.rng.randint(2, 10), 1.2)
    name_of_crew = dice.next_id("w")
    devices, payer = [dice.device() for _ in range(town.rng.choice((1, 1, 2)))], town.payer()
    channel, here, moment = town.channel(), town.rng.choice((0, 0.2, 0.5)), town.moments.arrival()
    for _ in range(people):
        name = town.names.full()
        truth = honest(town, "phone_counter")
        town.order(
            truth,
            stall if dice.chance(here) else _home_near(town, stall),
            name=name,
            email=town.mailboxes.odd(name) if dice.chance(0.4) else None,
            device=town.rng.choice(devices),
            network=network or town.networks.mobile("62812", stall.area.region),
            payer=payer if dice.chance(0.65) else None,
            channel=channel if dice.chance(0.85) else None,
            entered_ms=moment,
            crew=(name_of_crew, len(devices)),
            quantity=1,
        )
        moment = town.moments.after(moment, 80_000, 0.6) if dice.chance(0.6) else town.moments.arrival()


def _home_near(town: Town, stall: Home) -> Home:
    """A home in the stall's area or in its city."""
    same = town.dice.chance(0.7)
    return town.places.home(stall.area if same else town.places.area(stall.area.city))
