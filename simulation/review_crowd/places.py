"""Doors of Indonesian cities and villages, and how people type them."""

import random
from dataclasses import dataclass, replace

# City, share of orders, first digits of its postcodes, region of the mobile network.
CITIES = (
    ("Jakarta Selatan", 8.0, "12", 0), ("Jakarta Timur", 8.0, "13", 0), ("Jakarta Barat", 7.5, "11", 0),
    ("Jakarta Utara", 5.0, "14", 0), ("Bekasi", 8.0, "17", 0), ("Depok", 5.0, "16", 0), ("Tangerang", 7.0, "15", 0),
    ("Bogor", 4.5, "16", 0), ("Bandung", 7.0, "40", 1), ("Cirebon", 1.5, "45", 1), ("Semarang", 4.0, "50", 2),
    ("Surakarta", 2.5, "57", 2), ("Yogyakarta", 4.0, "55", 2), ("Purwokerto", 1.5, "53", 2), ("Surabaya", 7.0, "60", 3),
    ("Malang", 3.5, "65", 3), ("Sidoarjo", 2.5, "61", 3), ("Denpasar", 2.5, "80", 3), ("Medan", 4.5, "20", 4),
    ("Padang", 1.5, "25", 4), ("Pekanbaru", 2.0, "28", 4), ("Batam", 2.0, "29", 4), ("Palembang", 2.5, "30", 4),
    ("Bandar Lampung", 1.5, "35", 4), ("Pontianak", 1.2, "78", 5), ("Banjarmasin", 1.2, "70", 5),
    ("Balikpapan", 1.5, "76", 5), ("Makassar", 2.5, "90", 6), ("Manado", 1.0, "95", 6), ("Mataram", 1.0, "83", 6),
)  # fmt: skip
REGIONS = 7
_QUARTER_NAMES = (
    "Sukamaju Mekarsari Karanganyar Sukajadi Cempaka Kebonjeruk Rawasari Tegalsari Wonokromo Sidomulyo Karangrejo "
    "Margahayu Cipinang Pondokbambu Jatiasih Bojongsari Kedungwaru Tanjungsari Purwosari Sumberejo Kalibaru Rawamangun "
    "Gunungsari Banjarsari Pabuaran Cikaret Sukamulya Wonosari Bintaro Kaliurang Kebonsari Manahan Gayamsari Ngagel "
    "Pekayon Harapanjaya Kranji Duripulo Menteng Kramat Mampang Pejaten Ragunan Cilandak Ciganjur Lentengagung "
    "Tebet Bukitduri Manggarai Jatinegara Cakung Pulogadung Kelapadua Kemanggisan Palmerah Slipi Tomang Grogol "
    "Kalideres Cengkareng Semanan Sunter Pademangan Koja Lagoa Cilincing Marunda Sukapura Tanahsareal Cibadak"
)
_DISTRICT_NAMES = (
    "Sukasari Cimanggis Karangtengah Banyumanik Tembalang Lowokwaru Rungkut Gubeng Tampan Ilir Sukolilo Panakkukang "
    "Medanbaru Seberang Utara Selatan Barat Timur Tengah Kota Pancoran Setu Cipayung Ciracas Tegalrejo Umbulharjo"
)
_ONE_WORD = (
    "Mawar Melati Anggrek Kenanga Flamboyan Cempaka Dahlia Teratai Kamboja Bougenville Merpati Rajawali Elang Kutilang "
    "Cendrawasih Garuda Nuri Kakaktua Merdeka Sudirman Diponegoro Kartini Pahlawan Veteran Pattimura Hasanuddin "
    "Swadaya Kemuning Delima Mangga Rambutan Jambu Durian Salak Cemara Pinus Akasia Beringin Randu Asem Pandan Seroja "
    "Sawo Kesehatan Pendidikan Perintis Pelita Bakti Persatuan Pemuda Karya Sejahtera Damai Makmur Sentosa Bahagia"
)
_MORE_WORDS = (
    "Imam Bonjol|Gajah Mada|Hayam Wuruk|Ahmad Yani|Gatot Subroto|Teuku Umar|Cut Nyak Dien|Kapten Tendean|Raya Bogor|"
    "Masjid Al-Ikhlas|Haji Mahmud|Haji Naim|Nusa Indah|Kelapa Gading|Gotong Royong"
)
_QUARTERS, _DISTRICTS = tuple(_QUARTER_NAMES.split()), tuple(_DISTRICT_NAMES.split())
STREETS = (*_ONE_WORD.split(), *_MORE_WORDS.split("|"))
_LANDMARKS = (
    "dekat masjid", "samping Indomaret", "pagar hijau", "depan warung Bu Tini", "belakang SD", "cat biru",
    "sebelah bengkel", "masuk gang", "dekat pos ronda", "pagar hitam", "rumah pojok", "depan lapangan",
)  # fmt: skip


_TAKERS = (
    "titip Bu Ani", "u/p Budi", "terima Pak RT", "rumah cat kuning", "hub dulu", "blkg toko", "titip satpam",
    "u/p Ibu Sri", "telp dulu ya", "taruh di teras",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Door:
    """A place to which a parcel goes. `label` is what stands before the street, such as a boarding house's name.

    `room` is a room, a desk or a floor behind the door. A village has no street: `street` is the hamlet, and `number`
    is empty.
    """

    city: int
    street: str
    number: str
    rt: int
    rw: int
    quarter: str
    district: str
    postcode: str
    label: str = ""
    room: str = ""
    village: bool = False


@dataclass(frozen=True, slots=True)
class Spelling:
    """How one person writes addresses."""

    street: str
    number: str
    quarter: str
    separator: str
    case: str
    parts: frozenset[str]
    landmark: str = ""
    taker: str = ""


class PlaceFactory:
    """Doors of which no two families get the same one, and their spellings."""

    def __init__(self, rng: random.Random, city_weights: tuple[float, ...]) -> None:
        self._rng, self._weights = rng, city_weights
        self._taken: set[tuple[int, str, str, str]] = set()

    def city(self) -> int:
        """A city, by its share of the orders of this sale."""
        return self._rng.choices(range(len(CITIES)), self._weights)[0]

    def door(self, city: int | None = None, *, quarter: str = "", street: str = "") -> Door:
        """A door that is not used yet, somewhere or in a given quarter or street."""
        rng = self._rng
        where = self.city() if city is None else city
        for _ in range(40):
            within = quarter or rng.choice(_QUARTERS)
            at = street or self.street()
            number = f"{rng.randint(1, 180)}" + (rng.choice("ABCD") if rng.random() < 0.12 else "")
            if not street and rng.random() < 0.22:
                number = f"Blok {rng.choice('ABCDEFGHJK')}{rng.randint(1, 24)}/{number}"
            if (where, within, at, number) not in self._taken:
                break
        self._taken.add((where, within, at, number))
        # The neighbourhood follows from the street, and the district from the quarter, as in a real city.
        fixed = random.Random(f"{where}/{within}/{at}")
        rt, rw = fixed.randint(1, 14), fixed.randint(1, 16)
        area = random.Random(f"{where}/{within}")
        postcode = f"{CITIES[where][2]}{area.randint(100, 989)}"
        return Door(where, at, number, rt, rw, within, area.choice(_DISTRICTS), postcode)

    def street(self) -> str:
        """The name of a street, one in four with a number or an alley of its own."""
        rng = self._rng
        name = rng.choice(STREETS)
        chance = rng.random()
        if chance < 0.14:
            return f"{name} {rng.choice(('I', 'II', 'III', 'IV', 'V', 'Raya', 'Utara', 'Dalam'))}"
        return f"{name} Gg. {rng.choice(STREETS)}" if chance < 0.26 else name

    def village(self, city: int | None = None, *, quarter: str = "") -> Door:
        """A house in a village, which has a hamlet and a neighbourhood and no number."""
        rng = self._rng
        door = self.door(city, quarter=quarter or f"Desa {rng.choice(_QUARTERS)}")
        hamlet = random.Random(door.quarter + str(door.city)).sample(STREETS, 4)
        rt, rw = rng.randint(1, 9), rng.randint(1, 6)
        return replace(door, street=f"Dusun {rng.choice(hamlet)}", number="", rt=rt, rw=rw, village=True)

    def spelling(self, *, odd: bool = False) -> Spelling:
        """A person's habit of writing. An odd one leaves much out, or writes everything without a comma."""
        rng = self._rng
        keep = (0.55, 0.5, 0.4, 0.45) if odd else (0.85, 0.75, 0.7, 0.8)
        names = ("rt", "quarter", "district", "postcode")
        parts = {name for name, chance in zip(names, keep, strict=True) if rng.random() < chance}
        return Spelling(
            street=rng.choice(("Jl. ", "Jl ", "Jln. ", "Jalan ", "JL. ", "jl.", "jln ", "" if odd else "Jl. ")),
            number=rng.choice((" No. ", " No ", " no.", " nomor ", " ", " No.", " #" if odd else " No. ")),
            quarter=rng.choice(
                ("RT {:02d}/RW {:02d}", "RT {}/RW {}", "RT{:03d} RW{:03d}", "rt {} rw {}", "{:03d}/{:03d}")
            ),
            separator=" " if rng.random() < (0.5 if odd else 0.12) else ", ",
            case=rng.choices(("", "lower", "upper"), (1, 1, 1) if odd else (78, 14, 8))[0],
            parts=frozenset(parts),
            landmark=rng.choice(_LANDMARKS) if rng.random() < (0.35 if odd else 0.12) else "",
            taker=rng.choice(_TAKERS) if rng.random() < (0.10 if odd else 0.03) else "",
        )

    def typed(self, door: Door, how: Spelling) -> str:
        """The address of a door as a person with this habit types it."""
        if door.village:
            first = door.street
        elif door.number.startswith("Blok "):  # Blok A4 No. 12, or Blok A4/12
            first = f"{how.street}{door.street} {door.number.replace('/', how.number if how.number.strip() else '/')}"
        else:
            first = f"{how.street}{door.street}{how.number}{door.number}"
        parts = [door.label, first, door.room]
        if "rt" in how.parts or door.village:
            parts.append(how.quarter.format(door.rt, door.rw))
        parts.append(how.landmark)
        if "quarter" in how.parts or door.village:
            parts.append(door.quarter if door.quarter.startswith("Desa ") else f"Kel. {door.quarter}")
        if "district" in how.parts:
            parts.append(f"Kec. {door.district}")
        city = CITIES[door.city][0]
        parts.append(f"{city} {door.postcode}" if "postcode" in how.parts else city)
        text = how.separator.join(part for part in parts if part)
        text = {"lower": text.lower(), "upper": text.upper()}.get(how.case, text)
        return self.with_taker(text, how.taker) if how.taker else text

    def with_taker(self, text: str, taker: str = "") -> str:
        """The address with a note for the courier in front or behind: who takes the parcel, or where it may stay."""
        note = taker or self._rng.choice(_TAKERS)
        return f"{text} ({note})" if self._rng.random() < 0.5 else f"{note}, {text}"

    def mistyped(self, text: str) -> str:
        """A text with one letter dropped, doubled or swapped with its neighbour. Digits stay."""
        places = [at for at in range(1, len(text) - 1) if text[at].isalpha() and text[at + 1].isalpha()]
        if not places:
            return text
        at, how = self._rng.choice(places), self._rng.random()
        if how < 0.35:
            return text[:at] + text[at + 1 :]
        if how < 0.6:
            return text[:at] + text[at] + text[at:]
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
