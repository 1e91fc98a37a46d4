"""A code is read rightly out of whatever was pasted, or refused; it is never misread."""

import time

import pytest

from flashsale.rules.one_time_code import TYPED_CHARS_MAX, read_code

READ = [
    "058690", " 058690 ", "058 690", "058-690", "05 86 90", "0 5 8 6 9 0", "058\u00a0690", "058\u202f690",
    "058\u2011690",
    "058–690", "058690.", "(058690)", '"058690"', "#058690", "G-058690", "٠٥٨٦٩٠", "۰۵۸۶۹۰", "०५८६९०",
    "\uff10\uff15\uff18\uff16\uff19\uff10",
    "٠٥٨ ٦٩٠", "\u200e058690\u200f", "\u202a058\u200b690\u202c", "\ufeff058690",
    "Kode Anda 058690. Jangan berikan kepada siapa pun.", "Kode Anda: 058 690, berlaku 10 menit.",
    "058690 adalah kode Anda untuk POCO M3. Berlaku 10 menit.", "Kode:\n058690\nBerlaku 10 menit", "Kode058690Berlaku",
    "058690 is your code for POCO M3 4 GB/64 GB. It is valid for 10 minutes. Do not give it to anyone.",
    "Kode Anda 058690\n\n@mi.example #058690", "Kode 058690 (058-690)", "29 Jan 2021, 10.05: kode 058690",
    "Rp1.799.000: 058690",
]  # fmt: skip
REFUSED = [
    "", " ", "kode", "05869", "0586901", "05869O", "058690058690", "058690 058690", "058690 10 menit", "10 058690",
    "Kode 058690, pesanan INV123456", "058690 dan 123456", "Kode 058690. Bantuan: 0812 3456 7890",
    "29-01-21: kode 058690", "Kode 058 690 10 menit", "Bayar Rp 1 799 000 dengan 058690", "058.690", "058  690",
    "058--690",
    "058\n690", "0x058690 123456", "058690½ 123456", "-".join("0586901"), "0" * 5000, "058690" + " " * TYPED_CHARS_MAX,
]  # fmt: skip


@pytest.mark.parametrize("typed", READ)
def test_six_digits_are_read_as_people_copy_them(typed: str) -> None:
    assert read_code(typed) == "058690"


@pytest.mark.parametrize("typed", REFUSED)
def test_a_text_that_does_not_say_which_digits_are_the_code_is_refused(typed: str) -> None:
    assert read_code(typed) == ""


@pytest.mark.parametrize(
    "around", ["10 {}", "{} 10", "{}-10", "INV123456 {} 1", "{} 123456", "021 5795 {}", "{}1", "1{}"]
)
def test_other_numbers_beside_the_code_never_become_the_code(around: str) -> None:
    for code in ("058690", "058 690", "000000", "999 999"):
        assert read_code(around.format(code)) in ("", code.replace(" ", ""))


@pytest.mark.parametrize("piece", ["0 ", "0-", "٠ ", "ﷺ", "\u200b", "1a", "0 a"])
def test_reading_takes_no_longer_than_a_few_milliseconds(piece: str) -> None:
    typed = (piece * TYPED_CHARS_MAX)[:TYPED_CHARS_MAX]
    began = time.process_time()
    assert read_code(typed) == ""
    assert time.process_time() - began < 0.5
