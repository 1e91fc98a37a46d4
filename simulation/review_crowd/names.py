"""Names of people in Indonesia, and the mailboxes that they or their tools make from them.

A name may be one word, may have no surname, and may end in the name of the father or of the clan. So a surname that
two people share says much for some peoples and nothing for others.
"""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class People:
    """A part of the population: its first names, its last names, and its habits of naming.

    `single` is the share of people with one name. `inherits` is the chance that a child has the parent's last name.
    """

    weight: float
    men: tuple[str, ...]
    women: tuple[str, ...]
    last: tuple[str, ...]
    single: float
    inherits: float


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PEOPLES = (
    People(  # Javanese
        0.40,
        _words(
            "Agus Bambang Slamet Joko Budi Eko Dwi Tri Wahyu Hendra Bayu Sigit Wawan Yudi Aris Bagus Danang Galih Heru "
            "Imam Indra Krisna Nur Pandu Rizky Satria Teguh Widodo Yoga Adi Arif Dimas Fajar Gilang Rangga Sugeng"
        ),
        _words(
            "Siti Sri Dewi Ratna Endang Wati Lestari Ayu Rini Yuni Nur Fitri Indah Dian Retno Wulan Tri Dwi Anisa "
            "Kartika Puji Sari Tuti Yanti Intan Mega Novi Putri Rahayu Suci Tika Umi Winda Yulia Nanik Eka"
        ),
        _words(
            "Santoso Wibowo Prasetyo Nugroho Susanto Hidayat Setiawan Saputra Kurniawan Utomo Purnomo Handoko Wijaya "
            "Suryadi Raharjo Hartono Subroto Pratama Wicaksono Yulianto Kusuma Haryanto Mulyono Lestari Rahayu Utami "
            "Wulandari Astuti Handayani Puspita Sulistyowati Ningsih Widyastuti Anggraini Maharani Safitri"
        ),
        0.12,
        0.30,
    ),
    People(  # Sundanese and Betawi
        0.22,
        _words(
            "Asep Dadang Ujang Cecep Deden Dedi Iwan Jajang Agung Rian Rizal Dani Yayan Encep Tatang Hendi Ade Wildan "
            "Fauzi Ilham Maulana Ridwan Irfan Reza Aldi Alif Taufik Zaki"
        ),
        _words(
            "Neng Euis Iis Lilis Nenden Rina Teti Imas Ai Cucu Elis Santi Nia Mira Tia Rani Nurul Salsa Zahra Aulia "
            "Nabila Syifa Hani Fani Devi"
        ),
        _words(
            "Hidayat Sutisna Suherman Permana Gunawan Ramdani Firmansyah Nurhayati Kurnia Sopandi Mulyana Sudrajat "
            "Rohman Hakim Fadillah Nugraha Rahmawati Komalasari Herawati Maulani Iskandar Saepudin Suryana"
        ),
        0.10,
        0.25,
    ),
    People(  # Batak and Minahasan: the clan's name is passed on
        0.09,
        _words("Jhon Parlindungan Sahat Togar Ucok Benny Ronald Daniel Samuel David Hotman Rudi Jefri Andre Marthin"),
        _words("Rosmaida Maria Lusiana Theresia Debora Ester Melva Rina Julia Christina Yohana Grace Natalia Lamria"),
        _words(
            "Simanjuntak Siregar Nasution Harahap Sitompul Hutapea Simbolon Manurung Sihombing Panjaitan Sinaga "
            "Tambunan Lumbanraja Situmorang Nainggolan Pardede Rumengan Wowor Mandagi Lubis"
        ),
        0.0,
        0.97,
    ),
    People(  # Minang, Malay, Bugis
        0.16,
        _words(
            "Rahmat Syafrizal Yusuf Andi Zulkifli Hendri Rusdi Firdaus Mansur Baharuddin Ahmad Abdul Hasan Ibrahim "
            "Muhammad Faisal Ikhsan Amiruddin Rustam Fadli Akbar"
        ),
        _words("Rahmi Yusnita Andi Hasnah Fatimah Aisyah Nurhaliza Mardiah Ermawati Rosnita Hasniati Sarina Salmah"),
        _words(
            "Chaniago Tanjung Piliang Koto Syahputra Effendi Rahman Amin Daud Latif Basri Hamid Ismail Yusuf Arsyad "
            "Saleh Karim Rasyid Nur Malik Usman Halim Anwar"
        ),
        0.08,
        0.35,
    ),
    People(  # Chinese Indonesian
        0.06,
        _words("Kevin Steven Hendra Andreas Felix Jonathan Vincent William Edwin Ricky Tommy Yohanes Michael Bryan"),
        _words("Jessica Stephanie Meliana Fenny Lina Cindy Vivian Angelina Felicia Shierly Yenny Monica Olivia"),
        _words("Tan Wijaya Halim Salim Gunawan Lim Hartanto Susanto Kusnadi Widjaja Tanuwijaya Setiawan Liem Chandra"),
        0.02,
        0.93,
    ),
    People(  # Balinese: the first name says who was born first, the second whether man or woman
        0.07,
        ("I Wayan", "I Made", "I Nyoman", "I Ketut", "I Gede", "I Putu", "I Kadek", "Ida Bagus", "I Komang"),
        ("Ni Wayan", "Ni Made", "Ni Nyoman", "Ni Ketut", "Ni Luh", "Ni Putu", "Ni Kadek", "Ida Ayu", "Ni Komang"),
        _words("Suardana Sudiarta Artawan Wirawan Suastika Adnyana Pratiwi Suartini Dharma Yasa Widiani Astawa Suwena"),
        0.0,
        0.10,
    ),
)
NICKNAMES = _words(
    "cintaku bundanya ayahnya gamers prokiller sikumbang anakrantau bidadari kucinghitam pejuang juragan dede mamah "
    "otaku arema viking persija bonek kopihitam senja langit bintang pelangi mawarputih jagoan oppa armybts mobilegend"
)
PROVIDERS = (
    ("gmail.com", 0.875), ("yahoo.com", 0.045), ("yahoo.co.id", 0.025), ("outlook.com", 0.02), ("icloud.com", 0.02),
    ("hotmail.com", 0.01), ("ymail.com", 0.005),
)  # fmt: skip
DISPOSABLE = ("mailinator.com", "yopmail.com", "tempmail.id", "guerrillamail.com", "moakt.cc", "dropmail.me")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Name:
    """A person's name in words."""

    first: str
    last: str

    def __str__(self) -> str:
        return f"{self.first} {self.last}".strip()

    @property
    def plain(self) -> list[str]:
        """The words in small letters, as a mailbox has them."""
        return [word for word in str(self).lower().replace("'", "").split() if len(word) > 1]


class NameFactory:
    """Names of single people, of families, and of people who do not exist."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._weights = [people.weight for people in PEOPLES]

    def person(self) -> Name:
        """One person."""
        return self._of(self._rng.choices(PEOPLES, self._weights)[0])

    def _of(self, people: People, last: str = "") -> Name:
        rng = self._rng
        given = people.men if rng.random() < 0.5 else people.women
        first = rng.choice(given)
        if rng.random() < 0.28:
            second = rng.choice(given)
            first = first if second in first or " " in first else f"{first} {second}"
        if not last and rng.random() < people.single:
            return Name(first, "")
        return Name(first, last or rng.choice(people.last))

    def family(self, size: int) -> list[Name]:
        """The people of one home. Whether they share a last name depends on where they come from."""
        rng = self._rng
        people = rng.choices(PEOPLES, self._weights)[0]
        last = rng.choice(people.last)
        # A wife keeps her name in most families.
        return [self._of(people, last if rng.random() < people.inherits else "") for _ in range(size)]

    def invented(self, pool: int) -> Name:
        """A name that a tool puts together from two short lists of `pool` names each."""
        rng = self._rng
        some = PEOPLES[0].men[:pool] + PEOPLES[1].women[:pool]
        return Name(rng.choice(some), rng.choice(PEOPLES[0].last[:pool]))

    def typed(self, name: Name) -> str:
        """The name as its owner types it: capitals, small letters, a shortened word, a title."""
        rng, text = self._rng, str(name)
        chance = rng.random()
        if chance < 0.10:
            return text.lower()
        if chance < 0.17:
            return text.upper()
        if chance < 0.21 and len(name.first) > 3:
            return f"{name.first[0]}. {name.last}".strip() if name.last else name.first
        if chance < 0.25:
            return f"{rng.choice(('Bpk', 'Ibu', 'H.', 'Hj.', 'Kak', 'Pak'))} {text}"
        return name.first if chance < 0.29 else text


class MailboxFactory:
    """Mailboxes as people and tools make them."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def provider(self) -> str:
        """A provider, by its share of the people."""
        return self._rng.choices([name for name, _ in PROVIDERS], [share for _, share in PROVIDERS])[0]

    def own(self, name: Name, *, domain: str = "", nickname: float = 0.17) -> str:
        """The mailbox of a person: mostly of the name, with a year or digits, else of a nickname.

        A few people use a disposable mailbox or a tag, because they want no advertising.
        """
        rng, words = self._rng, name.plain or ["user"]
        if not domain and rng.random() < 0.006:
            box = f"{words[0]}{rng.randint(1, 9999)}+po@gmail.com"
            return self.random_letters(rng.choice(DISPOSABLE)) if rng.random() < 0.3 else box
        first, last = words[0], words[-1]
        if rng.random() < nickname:
            local = rng.choice(NICKNAMES) + rng.choice(("", "_", ".")) + rng.choice((first[:4], first, ""))
            return f"{local.strip('._')}{self._digits()}@{domain or self.provider()}"
        forms = (
            f"{first}{last}", f"{first}.{last}", f"{last}{first}", f"{first}{last[:1]}", f"{first[:1]}{last}",
            f"{first}_{last}", "".join(words)[:24], f"{first}{last[:3]}",
        )  # fmt: skip
        domain = domain or self.provider()
        local = rng.choices(forms, (30, 14, 8, 8, 10, 6, 16, 8))[0]
        if domain == "gmail.com":
            local = local.replace("_", "")
        return f"{local}{self._digits()}@{domain}"

    def _digits(self) -> str:
        rng = self._rng
        chance = rng.random()
        if chance < 0.26:
            return ""
        if chance < 0.52:
            year = min(2006, max(1962, int(rng.gauss(1993, 8))))
            return str(year) if rng.random() < 0.45 else f"{year % 100:02d}"
        if chance < 0.60:
            return f"{rng.randint(1, 28):02d}{rng.randint(1, 12):02d}{rng.choice(('', rng.randint(80, 99)))}"
        return str(rng.randint(1, 10 ** rng.choice((1, 2, 2, 3, 3, 4)) - 1))

    def at_work(self, name: Name, domain: str) -> str:
        """A mailbox of a firm or a university: the name, in the form that its staff chose."""
        words = name.plain or ["staf"]
        local = f"{words[0]}.{words[-1]}" if len(words) > 1 else words[0]
        return f"{local}{self._rng.choice(('', '', '', self._rng.randint(1, 9)))}@{domain}"

    def pattern(self, name: Name, digits: int, domain: str = "gmail.com") -> str:
        """A mailbox of a tool: first and last name, and always as many digits."""
        words = name.plain or ["user"]
        return f"{words[0]}{words[-1]}{self._rng.randrange(10**digits):0{digits}d}@{domain}"

    def random_letters(self, domain: str) -> str:
        """A mailbox of a tool that does not care how it looks."""
        rng = self._rng
        return f"{''.join(rng.choices(_LETTERS, k=rng.randint(8, 12)))}{rng.choice(('', rng.randint(1, 999)))}@{domain}"

    def shop_domain(self) -> str:
        """A domain that a shop or a person has registered."""
        rng = self._rng
        first = rng.choice(("toko", "grosir", "mitra", "galeri", "sentra", "jaya", "griya", "rumah", "cv", "kios"))
        second = rng.choice(
            ("gadget", "makmur", "abadi", "cell", "media", "niaga", "bersama", "digital", "kita", "mas")
        )
        return (
            f"{first}{second}{rng.choice(('', '', rng.randint(1, 99)))}.{rng.choice(('com', 'id', 'co.id', 'my.id'))}"
        )
