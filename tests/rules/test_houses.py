"""Which addresses name one house, as people type them. A reseller who varies an address does not get a new house."""

import random
import time

import pytest

from flashsale.rules.review.clues import BuyerContact
from flashsale.rules.review.clues import houses as read
from flashsale.rules.review.houses import House, group_by_house, group_by_lane, parse_house

# Other addresses of the sale, so that the names of cities weigh less than those of streets.
CITIES = ("Bandung", "Bekasi", "Depok", "Kota Jakarta Timur", "Kab. Sleman", "Semarang")
OTHERS = [f"Jl. Rambutan {at} No. {at}, Kel. Sukajadi, {CITIES[at % 6]}" for at in range(60)]

ONE_HOUSE = {
    "a label, a stroke or nothing before the number": (
        "Perum. Padma Residence 2 Blok H No. 7, Tegalanyar, Bekasi 17152",
        "Perumahan Padma Residence 2 H/7, RT 11 RW 9, Bekasi",
        "padma residence 2 blok h/7 tegalanyar bekasi",
    ),
    "a street with a number of its own": (
        "jl.Cut Nyak Dien Gang Kamboja 1 No.14, RT.05 RW.07, Desa Marga Makmur, Jakarta Selatan 12062",
        "JL. Cut Nyak Dien Gang Kamboja I nomor 14 05/07 Marga Makmur 12062",
        "Gang Kambboja 1 #14, pagar hitam, Kel. Marga Makmur, KOTA JAKARTA SELATAN, DKI JAKARTA, 12062",
    ),
    "what a reseller adds": (
        "Jl. Letjen Suprapto No. 9B, RT 6 RW 13, Kel. Wonoagung, Kota Jakarta Timur 13062",
        "titip Ria, Jl. Letjen Suprapto #9B/1, Kel. Wonoagung, Jakarta Timur",
        "jln letjen suprapto 9 b lt 2 kamar 4 desa wonoagung kota jakarta timur",
        "Letjen Suprapto No 9, dekat pasar, Wonoagung, RT06/RW13, Jakarta Timur",
    ),
    "a shop house with two numbers": (
        "Ruko Indo Blok B23, Jalan S Parman V No. 63B, RT 2/14, Bogor",
        "jl. s parman v no. 63b, ruko indo blok b23, bogor",
        "Ruko Indo, Jl S Parman V 63B, Kota Bogor",
    ),
    "a name that ends in a number": (
        "Toko Rumahcell47, Jl. Anggrek No. 74, RT 6/RW 5, Padang",
        "TOKO RUMAHCELL47, JL. ANGGREK 74, RT006 RW005, PADANG",
    ),
    "a plot": ("Jl. Jend. Sudirman Kav. 25, Jakarta", "jend sudirman kavling 25 lantai 3 jakarta"),
    "no house number in a village": (
        "Kp. Bojongmakmur, 08/05, Kel. Purwantoro, Kec. Blimbing, Kota Malang",
        "Kampung Bojongmakmur RT 8 RW 5, Blimbing, Malang, JAWA TIMUR, 65123",
    ),
}  # fmt: skip
TWO_HOUSES = {
    "the number of the estate is not that of the house": (
        "Perum Griya Asri 2 Blok J No 29, Margarejo, Depok", "Perum Griya Asri 2 Blok G16 No.39, Margarejo, Depok"
    ),
    "two alleys of one street": ("Gang Kamboja 1 No. 14, Bekasi", "Gang Kamboja 2 No. 14, Bekasi"),
    "one street name in two cities": (
        "Jl. Melati No. 5, Kel. Kedungmundu, Semarang", "Jl. Melati No. 5, Kel. Pancoran, Depok"
    ),
    "two regions by the postcode": ("Jl. Melati No. 5, Sukajadi 40123", "Jl. Melati No. 5, Sukajadi 16923"),
    "the same part of two streets": (
        "Jl. Manggis Dalam No. 46, Pondokkerta, Bekasi", "Jl. S Parman Dalam No. 46, Pondokkerta, Bekasi"
    ),
    "two neighbourhoods": ("Jl. Melati No. 5, RT 1/RW 2, Bekasi", "Jl. Melati No. 5, RT 2/RW 2, Bekasi"),
    "two letters": ("Jl. Melati No. 5A, Pancoran, Bekasi", "Jl. Melati No. 5B, Pancoran, Bekasi"),
    "two blocks": ("Perum Asri Blok C No. 5, Bekasi", "Perum Asri Blok D No. 5, Bekasi"),
    "two homes of a village that give no number": (
        "Dusun Karangkerta, Margakerta, Kab. Sleman", "Dusun Karangkerta, Tegalrejo, Kab. Sleman"
    ),
}  # fmt: skip


def contacts(addresses: list[str]) -> dict[str, BuyerContact]:
    return {f"{at}": BuyerContact("Budi", address, "", "") for at, address in enumerate([*addresses, *OTHERS])}


@pytest.mark.parametrize("what", ONE_HOUSE)
def test_these_are_one_house(what: str) -> None:
    addresses = list(ONE_HOUSE[what])
    found = group_by_house(read(contacts(addresses)), 80)
    assert len({found[f"{at}"] for at in range(len(addresses))}) == 1, [parse_house(one) for one in addresses]


@pytest.mark.parametrize("what", TWO_HOUSES)
def test_these_are_two_houses(what: str) -> None:
    one, other = TWO_HOUSES[what]
    found = group_by_house(read(contacts([one, other])), 80)
    assert found["0"] != found["1"], (parse_house(one), parse_house(other))


def test_houses_do_not_depend_on_the_sequence_of_addresses() -> None:
    known = contacts([address for some in (ONE_HOUSE | TWO_HOUSES).values() for address in some])
    ids = list(known)
    random.Random(1).shuffle(ids)
    shuffled = group_by_house(read({id_: known[id_] for id_ in ids}), 80)
    assert shuffled == group_by_house(read(known), 80)


def test_a_street_of_a_neighbourhood_has_all_its_houses_and_none_of_another_neighbourhood() -> None:
    addresses = [
        "Jl. Veteran No. 44, RT 3 RW 5, Sumberbaru, Bekasi", "Jalan Veteran 39, 03/05, Sumberbaru, Bekasi",
        "jl veteran no. 43, rt 3/5, kel. sumberbaru, bekasi", "Jl. Veteran No. 44, RT 4 RW 5, Sumberbaru, Bekasi",
        "Jl. Veteran No. 44, Sumberbaru, Bekasi",
    ]  # fmt: skip
    found = group_by_lane(read(contacts(addresses)), 80)
    assert len({found[f"{at}"] for at in range(3)}) == 1
    assert found["3"] != found["0"]
    assert "4" not in found, "an address without a neighbourhood is in none"


def test_a_crowd_that_writes_nonsense_costs_a_time_that_grows_with_its_size() -> None:
    """An address is compared with a bounded number of houses, and by a bounded number of words."""
    chance = random.Random(1)
    spent = []
    for size in (200, 600):
        words = ["".join(chance.choices("abcdefghij", k=5)) for _ in range(12 * size)]
        nonsense = [f"jl mawar no 5 rt 1/2 {' '.join(words[at::size])}" for at in range(size)]
        known = {f"{at}": parse_house(address) for at, address in enumerate(nonsense)}
        began = time.process_time()
        assert len(set(group_by_house(known, 80).values())) == size
        spent.append(time.process_time() - began)
    assert spent[1] < 6 * spent[0]


def test_an_empty_or_odd_address_has_no_house() -> None:
    assert parse_house("") == House()
    assert parse_house(" / # , rt rw no blok ") == House()
    assert parse_house("12345").postcode == "12345"
    assert group_by_house({}, 80) == {}
