"""An address typed by two members of a family is one; the house next door is another."""

import pytest

from flashsale.rules.identity import Axis, canonical_value


@pytest.mark.parametrize(
    "spelling",
    [
        "Jl. Melati Raya No. 12, RT 03/RW 05, Kel. Sukajadi, Kec. Cibeunying, Kota Bandung 40123",
        "JALAN MELATI RAYA NO 12 RT.003 RW.005 KELURAHAN SUKAJADI KECAMATAN CIBEUNYING BANDUNG 40123",
        "jln melati raya 12 rt03/05 sukajadi cibeunying kota bandung 40123",
        "Jl Melati Raya Nomor 12; RT/RW 3/5; Sukajadi; Cibeunying; Bandung 40123",
        "Jl Melati Raya #12 RT/RW: 003 - 005 Kel Sukajadi Kec Cibeunying Bandung 40123",
        "Jl. Melati Raya no.12\nRW 05 RT 03\nSukajadi, Cibeunying\nBandung 40123",
        "Ｊｌ．Ｍｅｌａｔｉ Ｒａｙａ １２ RT3/RW5 Sukajadi Cibeunying Bandung 40123",
    ],
)
def test_spellings_of_one_door_are_one(spelling: str) -> None:
    assert canonical_value(Axis.ADDRESS, spelling) == "melati raya 12 rt 3 rw 5 sukajadi cibeunying bandung 40123"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Gang Mawar 3", "Gg. Mawar No.3"),
        ("Komplek Permata Blok C No. 12A", "Perumahan Permata blk C-12 a"),
        ("Komp. Permata C", "Kompleks Permata C"),
        ("Kab. Bogor", "Kabupaten Bogor"),
        ("Jl. Ma'ruf 1", "Jl. Maruf 1"),
        ("Apartemen Kalibata Lantai 5", "Apt Kalibata Lt. 5"),
        ("Kampung Melayu 7", "Kp. Melayu 7"),
        ("Jl. Melati 3 RT 1/2 RT 1/2", "melati 3 rt 1 rw 2 rt 1 rw 2"),
        ("Jl. Melati II No. 3", "Jl. Melati 2/3"),
        ("Jl. Melati No. 3, 001/002, Tebet", "Jl. Melati 3 RT 1/RW 2 Tebet"),
    ],
)
def test_words_for_one_thing_are_one(one: str, other: str) -> None:
    assert canonical_value(Axis.ADDRESS, one) == canonical_value(Axis.ADDRESS, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jl. Melati 12", "Jl. Melati 14"),
        ("Jl. Melati 12", "Gg. Melati 12"),
        ("Jl. Melati 12 RT 3/5", "Jl. Melati 12 RT 5/3"),
        ("Jl. Melati 1 Blok 2", "Jl. Melati Blok 1 No 2"),
        ("Jl. Melati 12A", "Jl. Melati 12B"),
        ("Jl. Melati 112", "Jl. Melati 1 12"),
        ("Jl. Melati 1, Kab. Bandung", "Jl. Melati 1, Kota Bandung"),
        ("Kalibata Lt 5 No 1", "Kalibata Lt 1 No 5"),
        ("Jl. Melati II No. 3", "Jl. Melati III No. 3"),
        ("Perum Asri Blok V No. 3", "Perum Asri Blok 5 No. 3"),
        ("Jl. Melati 1/2", "Jl. Melati RT 1/RW 2"),
        ("Jl. Melati 3, 001/002", "Jl. Melati 3, 002/001"),
    ],
)
def test_two_doors_stay_two(one: str, other: str) -> None:
    assert canonical_value(Axis.ADDRESS, one) != canonical_value(Axis.ADDRESS, other)
