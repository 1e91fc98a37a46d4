"""All spellings of one value are one value. Two values that differ in a digit or a house stay two."""

import re
import unicodedata

from hypothesis import assume, given
from hypothesis import strategies as st

from flashsale.rules.identity import Axis, canonical_value

FULL_WIDTH = str.maketrans("0123456789+()-. ", "０１２３４５６７８９＋（）－．　")
BETWEEN = st.sampled_from(["", " ", "-", ".", " - ", "\u00a0"])
STARTS = st.sampled_from(["811", "812", "813", "821", "852", "857", "878", "895", "896"])
MOBILES = st.tuples(STARTS, st.text("0123456789", min_size=6, max_size=9)).map("".join)
WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=9).map(lambda word: f"q{word}")
NUMBERS = st.integers(1, 999)
HOUSES = st.tuples(NUMBERS, NUMBERS, NUMBERS)
QUARTERS = st.sampled_from(
    ["RT {0}/RW {1}", "RT.{0} RW.{1}", "rt{0}/{1}", "RT/RW {0}/{1}", "RW {1} RT {0}", "RT {0} - RW {1}"]
)


@st.composite
def phone_spellings(draw: st.DrawFn, number: str) -> str:
    """A way to type an Indonesian mobile number."""
    start = draw(st.sampled_from(["0", "62", "+62", "+62 ", "(0)", "+62 (0)", "0062"]))
    typed = start + "".join(digit + draw(BETWEEN) for digit in number)
    # A dot before the last one or two digits looks like a spreadsheet's decimals; such numbers are refused.
    assume(not re.search(r"\.\W*(?:\d\W*){0,2}$|\.\W*[0\W]*$", typed))
    # A whole number with one or two digits behind it looks like a number with something else; refused, too.
    assume(not re.search(r"\d{9,}\D+\d\d?\D*$", typed))
    return typed.translate(FULL_WIDTH) if draw(st.booleans()) else typed


@st.composite
def cased(draw: st.DrawFn, text: str) -> str:
    """The text in a mixture of small and capital letters."""
    return "".join(draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in text)


@given(data=st.data(), number=MOBILES)
def test_a_phone_is_one_in_all_its_spellings(data: st.DataObject, number: str) -> None:
    assert canonical_value(Axis.PHONE, data.draw(phone_spellings(number))) == f"+62{number}"


@given(data=st.data(), one=MOBILES, other=MOBILES)
def test_two_phones_never_meet(data: st.DataObject, one: str, other: str) -> None:
    assume(one != other)
    spelled = [canonical_value(Axis.PHONE, data.draw(phone_spellings(number))) for number in (one, other)]
    assert spelled[0] != spelled[1]


@given(data=st.data(), local=WORDS, tag=st.text("abc123.+", max_size=6))
def test_a_gmail_box_is_one_whatever_dots_tags_and_capitals(data: st.DataObject, local: str, tag: str) -> None:
    dotted = local[0] + "".join(data.draw(st.sampled_from(["", "."])) + letter for letter in local[1:])
    domain = data.draw(st.sampled_from(["gmail.com", "googlemail.com", "gmail.com."]))
    assume(".." not in tag and not tag.startswith(".") and not tag.endswith("."))
    typed = data.draw(cased(f"{dotted}+{tag}@{domain}"))
    assert canonical_value(Axis.EMAIL, typed) == f"{local}@gmail.com"


@given(local=WORDS, tag=WORDS)
def test_dots_and_tags_stay_where_the_provider_tells_them_apart(local: str, tag: str) -> None:
    typed = [f"{local}@toko.example", f"{local[0]}.{local[1:]}@toko.example", f"{local}+{tag}@toko.example"]
    assert [canonical_value(Axis.EMAIL, mail) for mail in typed] == typed


@given(data=st.data(), label=st.text("abcäéñøžпривет例え", min_size=1, max_size=8))
def test_a_domain_in_another_script_is_one_with_its_coded_form(data: st.DataObject, label: str) -> None:
    assume(not label.isascii() and label == unicodedata.normalize("NFKC", label))
    coded = f"xn--{label.encode('punycode').decode()}"
    written = data.draw(cased(f"ani@{label}"))
    dot = data.draw(st.sampled_from([".", "。", "．"]))
    assert canonical_value(Axis.EMAIL, f"{written}{dot}example") == canonical_value(
        Axis.EMAIL, f"ani@{coded.upper()}.example"
    )


def test_letters_that_look_alike_are_other_domains() -> None:
    spelled = ["ani@straße.example", "ani@strasse.example", "ani@xn--strae-oqa.example", "ani@bаnk.example"]
    assert [canonical_value(Axis.EMAIL, mail) for mail in spelled] == [
        "ani@xn--strae-oqa.example", "ani@strasse.example", "ani@xn--strae-oqa.example", "ani@xn--bnk-6cd.example",
    ]  # fmt: skip


@st.composite
def address_spellings(draw: st.DrawFn, street: str, house: int, rt: int, rw: int) -> str:
    """A way to write the address of a house in a street of a neighbourhood."""
    road = draw(st.sampled_from(["Jl.", "Jln ", "Jalan ", "JL ", "jl. "]))
    number = draw(st.sampled_from(["No. ", "No.", "no ", "Nomor ", "#", ""])) + draw(zeros(house))
    neighbourhood = draw(QUARTERS).format(draw(zeros(rt)), draw(zeros(rw)))
    comma = draw(st.sampled_from([", ", " ", "\n", "; "]))
    quarter = draw(st.sampled_from(["Kel. Qsari", "qsari", "KELURAHAN QSARI"]))
    return comma.join([f"{road}{draw(cased(street))} {number}", neighbourhood, quarter])


@st.composite
def zeros(draw: st.DrawFn, number: int) -> str:
    """A number, with or without leading zeros."""
    return "0" * draw(st.integers(0, 2)) + str(number)


@given(data=st.data(), street=WORDS, house=NUMBERS, rt=NUMBERS, rw=NUMBERS)
def test_an_address_is_one_in_all_its_spellings(data: st.DataObject, street: str, house: int, rt: int, rw: int) -> None:
    typed = data.draw(address_spellings(street, house, rt, rw))
    assert canonical_value(Axis.ADDRESS, typed) == f"{street} {house} rt {rt} rw {rw} qsari"


@given(data=st.data(), street=WORDS, house=HOUSES, other=HOUSES)
def test_a_house_with_another_number_is_another_house(
    data: st.DataObject, street: str, house: tuple[int, int, int], other: tuple[int, int, int]
) -> None:
    assume(house != other)
    one, two = (
        canonical_value(Axis.ADDRESS, data.draw(address_spellings(street, *numbers))) for numbers in (house, other)
    )
    assert one != two
