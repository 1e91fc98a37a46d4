"""Makes Indonesian names, addresses, phones and mailboxes, in the many ways in which people write them.

This file does not use the rules of the review.
"""

import random
from dataclasses import dataclass

_FIRST = (
    "Budi Siti Agus Dewi Andi Rina Joko Putri Hendra Wulan Yusuf Ayu Bambang Sri Eko Fitri Dedi Lestari Rudi Indah "
    "Wahyu Nur Iwan Yuni Arif Maya Fajar Intan Galih Ratna Dimas Novi Rizky Tika Bayu Mega Adi Desi Ilham Citra "
    "Yoga Anisa Reza Dian Taufik Sari Hadi Lina Imam Nadia Gilang Vina Surya Tari Ahmad Kartika Teguh Melati Rahmat Ika"
)
FIRST = tuple(_FIRST.split())
_LAST = (
    "Santoso Wijaya Saputra Lestari Hidayat Pratama Kusuma Nugroho Setiawan Siregar Nasution Lubis Gunawan Suryadi "
    "Permana Hartono Susanto Wibowo Utami Rahayu Handayani Purnomo Maulana Firmansyah Ramadhan Simanjuntak Sitorus "
    "Tanjung Hakim Yulianto Sutrisno Mahendra Puspita Anggraini Wahyuni Kurniawan Halim Tan Iskandar Basuki"
)
LAST = tuple(_LAST.split())
# Common names, so that every crowd has several people with the same name.
COMMON = ("Muhammad Rizki", "Siti Aminah", "Agus Setiawan", "Ahmad Fauzi", "Nur Hidayah", "Sri Wahyuni")
_STREETS = (
    "Melati Mawar Kenanga Anggrek Cempaka Flamboyan Dahlia Teratai Bougenville Kamboja Sudirman Diponegoro Gajah Mada "
    "Hayam Wuruk Imam Bonjol Kartini Pahlawan Merdeka Veteran Pemuda Cendrawasih Rajawali Merpati Garuda Kutilang "
    "Mangga Rambutan Durian Nangka Jambu Salak Manggis Jati Mahoni Cemara Beringin Akasia Pinus Kelapa Bambu Semeru "
    "Bromo Merapi Kerinci Rinjani Ciliwung Citarum Brantas Serayu Musi Kapuas Barito Mahakam Asahan Toba"
)
STREETS = tuple(_STREETS.split())
QUARTERS = {
    "Jakarta Selatan": ("Cilandak", "Tebet", "Pancoran", "Jagakarsa", "Mampang"),
    "Jakarta Timur": ("Cakung", "Duren Sawit", "Matraman", "Jatinegara"),
    "Jakarta Barat": ("Kalideres", "Cengkareng", "Kembangan", "Palmerah"),
    "Bekasi": ("Jatiasih", "Rawalumbu", "Pondok Gede", "Medan Satria"),
    "Depok": ("Beji", "Cimanggis", "Sawangan"),
    "Tangerang": ("Cipondoh", "Karawaci", "Ciledug"),
    "Bandung": ("Coblong", "Lengkong", "Antapani", "Buahbatu"),
    "Surabaya": ("Gubeng", "Rungkut", "Wonokromo", "Sukolilo"),
    "Semarang": ("Banyumanik", "Tembalang", "Candisari"),
    "Yogyakarta": ("Umbulharjo", "Gondokusuman", "Mergangsan"),
    "Medan": ("Helvetia", "Sunggal", "Tembung"),
    "Makassar": ("Panakkukang", "Rappocini", "Tamalate"),
}
SHORT = {"Jakarta Selatan": "Jaksel", "Jakarta Timur": "Jaktim", "Jakarta Barat": "Jakbar"}
NOTES = (
    "pagar hijau",
    "dekat masjid",
    "rumah cat putih",
    "belakang sekolah",
    "samping warung",
    "titip satpam",
    "depan lapangan",
    "rumah pojok",
    "sebelah apotek",
)
PUBLIC_MAIL = ("gmail.com",) * 14 + ("yahoo.com", "yahoo.co.id", "outlook.com", "hotmail.com", "icloud.com")


@dataclass(frozen=True, slots=True)
class House:
    """The exact address of a house."""

    street: str
    number: int
    rt: int
    rw: int
    quarter: str
    city: str
    postcode: int


class PersonalDataFactory:
    """Makes random personal data from one random generator. Mailboxes are unique."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self._taken: set[str] = set()

    def house(self) -> House:
        """A random house."""
        rng = self.rng
        city = rng.choice(list(QUARTERS))
        number = max(1, round(rng.lognormvariate(3, 1)))
        return House(
            rng.choice(STREETS),
            number,
            rng.randint(1, 12),
            rng.randint(1, 12),
            rng.choice(QUARTERS[city]),
            city,
            rng.randint(100, 999) * 100 + rng.randint(10, 90),
        )

    def name(self) -> str:
        """A full name; one in twenty-five is a very common one."""
        if self.rng.random() < 0.04:
            return self.rng.choice(COMMON)
        return f"{self.rng.choice(FIRST)} {self.rng.choice(LAST)}"

    def format_address(self, house: House, *, room: str = "") -> str:
        """The address as one person writes it: with abbreviations, missing parts, notes or a typing error."""
        rng = self.rng
        number = rng.choice((" No. {}", " No {}", " no.{}", " {}", " Nomor {}")).format(house.number)
        street = rng.choice(("Jl. ", "Jl ", "Jalan ", "jln ", "Jln. ")) + house.street + number
        parts = [street]
        if room and rng.random() < 0.6:
            parts.append(room)
        if rng.random() < 0.8:
            form = rng.choice(("RT {}/RW {}", "RT {:02d} RW {:02d}", "RT.{:03d}/{:03d}", "rt {}/{}"))
            parts.append(form.format(house.rt, house.rw))
        if rng.random() < 0.75:
            parts.append(rng.choice(("", "Kec. ", "kec ", "Kel. ")) + house.quarter)
        parts.append(rng.choice((house.city, SHORT.get(house.city, house.city))))
        if rng.random() < 0.4:
            parts.append(str(house.postcode))
        if rng.random() < 0.12:
            parts.append(rng.choice(NOTES))
        text = rng.choice((", ", " ", ",")).join(parts)
        text = text if rng.random() < 0.9 else rng.choice((text.upper(), text.lower()))
        return self.add_typo(text) if rng.random() < 0.04 else text

    def add_typo(self, text: str) -> str:
        """Swaps two neighbouring letters, drops one, or doubles one. Digits stay as they are."""
        at = self.rng.randrange(1, max(2, len(text) - 2))
        if text[at].isdigit() or text[at + 1 : at + 2].isdigit():
            return text
        swapped = text[:at] + text[at + 1 : at + 2] + text[at] + text[at + 2 :]
        return self.rng.choice((swapped, text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]))

    def phone(self) -> str:
        """A mobile number, as one person writes it."""
        number = f"8{self.rng.choice(('11', '12', '13', '21', '52', '57', '78', '95'))}{self.rng.randrange(10**8):08d}"
        return self.rng.choice(("0", "+62", "0", "62 ")).replace("62 ", "+62 ") + number

    def mail(self, name: str) -> str:
        """A mailbox at a public provider, usually made from the name."""
        rng = self.rng
        first, *rest = name.lower().split()
        last = rest[-1] if rest else ""
        form = rng.choice(
            ("{f}{l}{n}", "{f}.{l}{n}", "{f}{n}", "{l}.{f}{n}", "{f}_{l}", "{f}{l}{y}", "{i}{l}{n}", "{x}{n}")
        )
        local = form.format(
            f=first,
            l=last,
            i=first[0],
            n=rng.choice(("", rng.randint(1, 9999))),
            y=rng.randint(1970, 2005),
            x="".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(5, 9))),
        )
        domain = rng.choice(PUBLIC_MAIL)
        # A mailbox has one owner, with or without dots in it. A later person gets a number added.
        while f"{local.replace('.', '')}@{domain}" in self._taken:
            local += str(rng.randint(1, 99))
        self._taken.add(f"{local.replace('.', '')}@{domain}")
        return f"{local}@{domain}"

    def token(self) -> str:
        """A random value that identifies one device or one payment instrument."""
        return f"{self.rng.getrandbits(64):016x}"

    def home_network(self) -> str:
        """The IP address of a fixed line."""
        return f"36.{self.rng.randint(64, 95)}.{self.rng.randint(0, 255)}.{self.rng.randint(1, 254)}"

    def mobile_network(self) -> str:
        """The IP address of a mobile carrier, which puts tens of thousands of people behind a few addresses."""
        return f"114.{self.rng.choice((4, 5, 120, 124))}.{self.rng.randint(0, 39)}.{self.rng.randint(1, 254)}"
