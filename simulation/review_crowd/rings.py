"""Resellers who buy under many identities: a ring has a plan, and every plan is carried out in the same way."""

from dataclasses import dataclass, field, replace

from simulation.review_crowd.contacts import Payment
from simulation.review_crowd.names import DISPOSABLE, Name
from simulation.review_crowd.orders import Draft, Truth
from simulation.review_crowd.places import Door, Spelling
from simulation.review_crowd.terms import paying_ms, reaction_ms
from simulation.review_crowd.town import Town


@dataclass(slots=True)
class Plan:
    """How one ring works. Empty pools mean that each order has a value of its own.

    `entering` is burst, wave, staggered or spread. `focus` is the chance that an order takes the ring's model, and
    `one_channel` that it takes the ring's channel. `greed` is the chance of a quantity at the limit.
    """

    kind: str
    size: int
    doors: list[Door]
    city: int
    spelling: str = "own"
    names: str = "real"
    mail: str = "own"
    row: bool = False
    carrier: str = ""
    devices: list[str] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    entering: str = "wave"
    reaction_s: float = 9.0
    reaction_sigma: float = 0.5
    pay_factor: float = 0.8
    focus: float = 0.8
    one_channel: float = 0.6
    greed: float = 0.92
    honest: list[Draft] = field(default_factory=list)


def carry_out(town: Town, plan: Plan) -> list[Draft]:
    """The orders of a ring, and those of the honest people whose place it uses."""
    ring = Truth(plan.kind, ring=town.next_id("ring"))
    moments = _moments(town, plan)
    phones = town.contacts.phones_in_a_row(plan.size, step=town.rng.choice((1, 2, 3, 6))) if plan.row else []
    domain, digits, pool = town.mailboxes.shop_domain(), town.rng.choice((2, 3, 4, 4)), town.rng.randint(8, 28)
    habit, model, channel = town.places.spelling(), _model(town), town.channel()
    boss = town.names.person()
    made = []
    for at in range(plan.size):
        name = town.names.invented(pool) if plan.names == "invented" else town.names.person()
        if plan.names == "boss" and town.chance(0.5):
            name = Name(boss.first, town.names.person().last)
        door = town.rng.choice(plan.doors)
        if plan.spelling == "varied" and not door.room and town.chance(0.2):
            door = replace(door, room=town.rng.choice(("Lt. 2", "Kamar 3", "lantai 1", "belakang", "Unit B")))
        draft = town.order(
            ring,
            door,
            name=name,
            typed_name=str(name) if plan.names == "invented" else "",
            email=_mailbox(town, plan.mail, name, domain=domain, digits=digits, at=at),
            phone=phones[at] if phones else town.contacts.phone(plan.carrier),
            payment=town.rng.choice(plan.payments) if plan.payments else None,
            network=town.rng.choice(plan.networks) if plan.networks else town.network(door),
            spelling=_spelling(town, plan, habit),
            entered_ms=moments[at],
        )
        _choose(town, plan, draft, model=model, channel=channel)
        if plan.spelling == "varied":
            draft.address = _varied(town, draft.address)
        made.append(draft)
    return made + plan.honest


def _choose(town: Town, plan: Plan, draft: Draft, *, model: str, channel: str) -> None:
    """Gives an order the ring's device, pace, model, channel and quantity."""
    rng = town.rng
    if plan.devices:
        draft.device = rng.choice(plan.devices)
    draft.reaction_ms = reaction_ms(rng, median_s=plan.reaction_s, sigma=plan.reaction_sigma)
    if plan.reaction_s < 1.6:  # a program, which no minimum of a person holds back
        draft.reaction_ms = int(1000 * plan.reaction_s * rng.uniform(0.6, 1.6))
    if plan.pay_factor < 0.4:
        median = max(0.6, 9 * plan.pay_factor)
        draft.paying_ms = int(1000 * median * rng.uniform(0.7, 1.5))
    elif plan.payments:
        draft.paying_ms = paying_ms(rng, median_s=plan.payments[0].median_s * plan.pay_factor, sigma=0.45)
    if town.chance(plan.focus):
        draft.sku = model
    if town.chance(plan.one_channel):
        draft.channel = channel
    if town.chance(plan.greed):
        draft.quantity = town.terms.limit


def _model(town: Town) -> str:
    """The model that sells best again: seldom the dearest."""
    models = sorted(town.terms.models, key=lambda model: model.price)
    return town.rng.choice(models[: max(1, (len(models) + 1) * 2 // 3)]).sku


def _moments(town: Town, plan: Plan) -> list[int]:
    """The times at which the ring's identities enter."""
    rng, arrivals = town.rng, town.arrivals
    begin = arrivals.lobby() if town.chance(0.75) else arrivals.one()
    if plan.entering == "burst":
        gap = rng.choice((150, 400, 1200, 3000))
        return [arrivals.inside(begin + int(at * gap * rng.uniform(0.5, 1.5))) for at in range(plan.size)]
    if plan.entering == "wave":
        return [arrivals.after(begin, rng.choice((25, 60, 120))) for _ in range(plan.size)]
    if plan.entering == "spread":
        return [arrivals.near(begin, 240) for _ in range(plan.size)]
    return [arrivals.one() for _ in range(plan.size)]


def _mailbox(town: Town, how: str, name: Name, *, domain: str, digits: int, at: int) -> str:
    boxes, rng = town.mailboxes, town.rng
    if how == "mixed":
        how = rng.choice(("own", "pattern", "own", "random"))
    if how == "pattern":
        return boxes.pattern(name, digits, boxes.provider() if town.chance(0.15) else "gmail.com")
    if how == "random":
        return boxes.random_letters(rng.choice(("gmail.com", "gmail.com", "outlook.com", "yahoo.com")))
    if how == "domain":
        return (
            boxes.pattern(name, rng.choice((0, 1)) + 1, domain) if town.chance(0.5) else f"order{at + 1:02d}@{domain}"
        )
    if how == "plus":
        return f"{rng.choice(('po', 'order', 'beli'))}+{name.plain[0]}{at}@{domain}"
    if how == "disposable":
        return boxes.random_letters(rng.choice(DISPOSABLE))
    return boxes.own(name)


def _spelling(town: Town, plan: Plan, habit: Spelling) -> Spelling:
    """One hand writes alike. Who varies on purpose changes the words and leaves the numbers."""
    if plan.spelling == "alike":
        return habit
    return town.places.spelling(odd=plan.spelling == "varied" and town.chance(0.5))


def _varied(town: Town, text: str) -> str:
    """An address that is written so that a comparison of texts fails, and that a courier still finds."""
    for _ in range(town.rng.randint(0, 2)):
        text = town.places.mistyped(text)
    if town.chance(0.3):
        text = town.places.with_taker(text)
    return text
