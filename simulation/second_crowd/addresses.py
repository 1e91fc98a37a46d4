"""Homes of the second crowd, and how people type their addresses."""

from dataclasses import dataclass

from simulation.second_crowd.areas import Area
from simulation.second_crowd.dice import DIGITS, Dice

_SHORT = {"Jawa Barat": "Jabar", "Jawa Tengah": "Jateng", "Jawa Timur": "Jatim", "DKI Jakarta": "Jakarta"}
# How people type the neighbourhood (RT) and the hamlet (RW).
_NEIGHBOURHOOD = (
    "RT {0:02d}/RW {1:02d}", "RT.{0:02d} RW.{1:02d}", "RT {0} RW {1}", "rt{0:02d}/rw{1:02d}", "RT {0:03d}/RW {1:03d}",
    "rt {0}/{1}", "{0:02d}/{1:02d}",
)  # fmt: skip
_STREET_WORDS = (
    "Jl. ", "Jl. ", "Jl. ", "Jl ", "Jl ", "Jln. ", "Jln ", "jl.", "Jalan ", "jalan ", "JL. ", "",
)  # fmt: skip
_NUMBER_WORDS = (" No. ", " No. ", " No.", " no ", " no.", " No ", " nomor ", " ", " #", " NO. ")
_QUARTER_WORDS = ("", "", "", "Kel. ", "Kel. ", "kel ", "Kelurahan ", "Ds. ", "Desa ", None, None, None)
_DISTRICT_WORDS = ("", "", "", "Kec. ", "Kec. ", "kec ", "Kecamatan ", None)


@dataclass(frozen=True, slots=True)
class Style:
    """How one person types addresses.

    `neighbourhood` is a row of a table; a number beyond the table leaves the neighbourhood out. A word that is None
    leaves its part out. `case` is t (title), l (lower), u (upper) or s (sentence). `slips` is the share of words with
    a typing error. `short_for_market` says whether the person leaves out the area that a marketplace adds.
    """

    street_word: str
    number_word: str
    neighbourhood: int
    quarter_word: str | None
    district_word: str | None
    city_form: str
    province: bool
    postcode: bool
    case: str
    landmark: bool
    slips: float
    separator: str
    short_for_market: bool


@dataclass(slots=True)
class Home:
    """A place to which a parcel goes. `kind` is street, gang (an alley), perum (an estate), village or apartment.

    `label` is what stands before the street of a shared place, and `label_share` says how often people type it. `rooms`
    is the word for a room there. A pick-up desk may have a text of its own (`template`) and ask for a customer's code
    (`codes`). An office has a domain.
    """

    kind: str
    area: Area
    street: str
    number: str
    rt: int
    rw: int
    block: str = ""
    alley: str = ""
    label: str = ""
    label_share: float = 1.0
    rooms: str = ""
    room: str = ""
    landmark: str = ""
    network: str | None = None
    network_known: bool = False
    template: Style | None = None
    codes: bool = False
    domain: str = ""

    @property
    def plain_number(self) -> int:
        """The house's number without its letters."""
        return int("".join(sign for sign in self.number if sign in DIGITS) or 1)


def new_style(dice: Dice, *, odd: bool = False) -> Style:
    """The habits of one person. An odd speller makes a typing error in every fourth word."""
    rng = dice.rng
    return Style(
        street_word=rng.choice(_STREET_WORDS),
        number_word=rng.choice(_NUMBER_WORDS),
        neighbourhood=rng.choice((0, 1, 1, 2, 3, 4, 5, 6, 7, 7, 7, 7)),
        quarter_word=rng.choice(_QUARTER_WORDS),
        district_word=rng.choice(_DISTRICT_WORDS),
        city_form=rng.choice(("", "", "", "k", "k", "-")) if rng.random() > 0.06 else "x",
        province=dice.chance(0.3),
        postcode=dice.chance(0.62),
        case=rng.choices("tlus", (0.68, 0.19, 0.08, 0.05))[0],
        landmark=dice.chance(0.2),
        slips=0.25 if odd else 0.0 if dice.chance(0.6) else 0.05,
        separator=rng.choices((", ", " ", ",", " - ", ". "), (0.72, 0.15, 0.06, 0.02, 0.05))[0],
        short_for_market=dice.chance(0.88),
    )


def mistyped(dice: Dice, text: str, share: float) -> str:
    """The text with typing errors in a share of its longer words."""
    if not share or len(text) < 4:
        return text
    return " ".join(
        _slip(dice, word) if len(word) > 3 and word.isalpha() and dice.chance(share) else word
        for word in text.split(" ")
    )


def _slip(dice: Dice, word: str) -> str:
    how, at = dice.rng.random(), dice.rng.randrange(1, len(word) - 1)
    if how < 0.35:
        return word[:at] + word[at + 1 :]
    if how < 0.6:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if how < 0.8:
        return word[:at] + word[at] + word[at:]
    return word[:at] + dice.rng.choice("aeiou" if word[at] in "aeiou" else "bdgknrst") + word[at + 1 :]


def typed_address(
    dice: Dice, home: Home, style: Style, *, market: bool = False, number: str | None = None, extra: str = ""
) -> str:
    """The address as a person types it. A marketplace adds the area from its lists."""
    rng, area = dice.rng, home.area
    parts = _house(dice, home, style, home.number if number is None else number)
    if extra:
        parts.insert(rng.choice((0, 1, len(parts))), extra)
    if style.neighbourhood < len(_NEIGHBOURHOOD) and home.kind != "apartment":
        parts.append(_NEIGHBOURHOOD[style.neighbourhood].format(home.rt, home.rw))
    if style.quarter_word is not None:
        parts.append(style.quarter_word + area.quarter)
    if not market or not style.short_for_market or dice.chance(0.3):
        parts += _city(dice, area, style)
    if home.landmark and style.landmark:
        parts.insert(rng.choice((1, len(parts))), home.landmark)
    text = _in_case(mistyped(dice, style.separator.join(part for part in parts if part), style.slips), style.case)
    if market:
        town = f"{'KOTA' if area.kind == 'Kota' else 'KAB.'} {area.city}"
        return text + f", {area.district}, {town}, {area.province}, {area.postcode}".upper()
    if style.postcode:
        text += " " if style.separator != ", " or dice.chance(0.5) else ", "
        text += area.postcode if dice.chance(0.97) else area.postcode[:4] + rng.choice(DIGITS)
    return text


def _house(dice: Dice, home: Home, style: Style, number: str) -> list[str]:
    """The street with its number, the label and the room."""
    if home.kind == "perum":
        block = dice.one("Blok ", "Blok ", "blok ", "Blk ", "") + home.block
        body = f"{home.street} {block}{style.number_word if dice.chance(0.7) else '/'}{number}"
    elif home.kind == "gang":
        street = f"{style.street_word}{home.street} " if dice.chance(0.75) else ""
        body = f"{street}{home.alley}{style.number_word}{number}"
    elif home.kind == "street":
        body = f"{style.street_word}{home.street}{style.number_word}{number}"
    else:
        body = home.street
    parts = [body]
    if home.label and dice.chance(home.label_share):
        parts.insert(0 if dice.chance(0.7) else 1, home.label)
    if home.room and dice.chance(0.85 if home.kind == "apartment" else 0.55):
        parts.insert(1, f"{home.rooms} {home.room}".strip() if dice.chance(0.85) else home.room)
    return parts


def _city(dice: Dice, area: Area, style: Style) -> list[str]:
    """The district, the city and the province, as far as the person types them."""
    parts = [] if style.district_word is None else [style.district_word + area.district]
    town = area.kind == "Kota"
    if style.city_form == "k":
        parts.append(("Kota " if town else "Kab. ") + area.city)
    elif style.city_form == "-":
        parts.append(("kota " if town else "kab ") + area.city)
    elif not style.city_form:
        parts.append(area.city.replace("Jakarta", "Jak") if dice.chance(0.08) else area.city)
    if style.province:
        parts.append(area.province if dice.chance(0.7) else _SHORT.get(area.province, area.province))
    return parts


def _in_case(text: str, case: str) -> str:
    if case == "l":
        return text.lower()
    if case == "u":
        return text.upper()
    return text[:1].upper() + text[1:].lower() if case == "s" else text
