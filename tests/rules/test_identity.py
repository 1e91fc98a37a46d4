"""One person has one canonical value on each axis in every spelling. Two people have two."""

import hmac
import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flashsale.rules import identity
from flashsale.rules.identity import (
    AXIS_ID,
    CANON_VERSIONS,
    Axis,
    BadValue,
    Digester,
    canonical_value,
    digest_key,
    message_address,
)
from flashsale.rules.review import clues
from flashsale.rules.review.houses import parse_house

PEPPER = b"pepper of at least sixteen bytes"
SALT = b"salt of campaign"


@pytest.mark.parametrize(
    ("axis", "spellings", "value"),
    [
        (
            Axis.PHONE,
            [
                "081234567890",
                "0812-3456-7890",
                "0812.3456.7890",
                "6281234567890",
                "+62 812 3456 7890",
                "+62 (0)812 3456 7890",
                "０８１２３４５６７８９０",
                " \t0812\u00a03456\u00a07890 ",
                "＋62 812\u20113456\u20137890",
                "0062 812 3456 7890",
                "(00)62-81234567890",
                "\u202a+62 812\u22123456\u22127890\u202c",
                "[+62] 812 3456 7890",
                "'081234567890",
                "tel:+62-812-3456-7890",
            ],
            "+6281234567890",
        ),
        (Axis.PHONE, ["0811 123 456", "62811123456", "(62) 811-123-456", "٦٢٨١١١٢٣٤٥٦"], "+62811123456"),
        (Axis.PHONE, ["+1 650 253 0000", "+1 (650) 253-0000"], "+16502530000"),
        (
            Axis.EMAIL,
            ["budi.santoso@gmail.com", "BudiSantoso@googlemail.com", "b.u.d.i.santoso+poco+m3@GMAIL.com."],
            "budisantoso@gmail.com",
        ),
        (Axis.EMAIL, ["Siti.Aminah@Outlook.com", "siti.aminah+2@outlook.com"], "siti.aminah@outlook.com"),
        (Axis.EMAIL, ["siti@me.com", "siti@mac.com", "siti+x@icloud.com"], "siti@icloud.com"),
        (Axis.EMAIL, ["siti@protonmail.com", "siti@pm.me", "Siti+x@proton.me"], "siti@proton.me"),
        (Axis.EMAIL, ["siti.a-min_ah@proton.me", "sitiaminah+1@pm.me"], "sitiaminah@proton.me"),
        (Axis.EMAIL, ["siti@ya.ru", "siti+1@yandex.ru", "siti@yandex.com"], "siti@yandex.com"),
        (Axis.EMAIL, ["siti.aminah@ya.ru", "siti-aminah@yandex.com"], "siti-aminah@yandex.com"),
        (Axis.EMAIL, ["siti@fastmail.fm", "siti+poco@fastmail.fm", "poco@siti.fastmail.fm"], "siti@fastmail.fm"),
        (Axis.EMAIL, ["siti+1@outlook.fr", "siti@OUTLOOK.fr"], "siti@outlook.fr"),
        (Axis.EMAIL, ["siti+1@hotmail.co.uk", "siti@hotmail.co.uk"], "siti@hotmail.co.uk"),
        (Axis.EMAIL, ["toko-1@yahoo.co.id", "toko-2@yahoo.co.id"], "toko@yahoo.co.id"),
        (Axis.EMAIL, ["a+b@toko.example", "A+B@Toko.Example"], "a+b@toko.example"),
        (Axis.EMAIL, ["ani@bücher.example", "ani@xn--bcher-kva.example"], "ani@xn--bcher-kva.example"),
        (Axis.PAYMENT, [" pm_1AbC ", "pm_1AbC"], "pm_1AbC"),
        (Axis.PAYMENT, ["4111 1111-1111.1111", "4111111111111111", "４１１１ 1111 1111 1111"], "4111111111111111"),
        (Axis.ACCOUNT, [" Budi_88 ", "BUDI_88", "ｂｕｄｉ_88"], "budi_88"),
        (Axis.NATIONAL_ID, ["3174092501900001", "317409 250190 0001", "3174.0925.0190.0001"], "3174092501900001"),
        (Axis.DEVICE, [" 9fE1 ", "9fE1"], "9fE1"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_spellings_of_one_value_are_one(axis: Axis, spellings: list[str], value: str) -> None:
    assert [canonical_value(axis, spelling) for spelling in spellings] == [value] * len(spellings)


@pytest.mark.parametrize(
    ("axis", "raw", "reached"),
    [
        (Axis.PHONE, " 0812-3456-7890 ", "+6281234567890"),
        (Axis.PHONE, "+1 (650) 253-0000", "+16502530000"),
        (Axis.EMAIL, " Budi.Santoso+Poco@GMail.com ", "Budi.Santoso+Poco@gmail.com"),
        (Axis.EMAIL, "anna@straße.example", "anna@xn--strae-oqa.example"),
        (Axis.EMAIL, "ani@BÜCHER。example.", "ani@xn--bcher-kva.example"),
        (Axis.EMAIL, "ａｎｎａ@example.com", "anna@example.com"),
        (Axis.EMAIL, "poco@siti.fastmail.fm", "poco@siti.fastmail.fm"),
    ],
)
def test_a_message_goes_to_the_value_of_the_digest(axis: Axis, raw: str, reached: str) -> None:
    assert message_address(axis, raw) == reached
    assert canonical_value(axis, reached) == canonical_value(axis, raw)


def test_a_message_to_a_wrong_value_is_refused() -> None:
    for axis, raw in ((Axis.PHONE, "0812"), (Axis.EMAIL, "anna@"), (Axis.EMAIL, "a" * 257)):
        with pytest.raises(BadValue):
            message_address(axis, raw)


@pytest.mark.parametrize(
    ("axis", "one", "other"),
    [
        (Axis.PHONE, "081234567890", "081234567891"),
        (Axis.EMAIL, "budi.s@outlook.com", "budis@outlook.com"),
        (Axis.EMAIL, "budi-s@gmail.com", "budi@gmail.com"),
        (Axis.EMAIL, "budi@hotmail.com", "budi@outlook.com"),
        (Axis.EMAIL, "a+b@toko.example", "a@toko.example"),
        (Axis.EMAIL, "siti@yandex.com", "siti@proton.me"),
        (Axis.EMAIL, "siti@fastmail.fm", "siti@fastmail.com"),
        (Axis.EMAIL, "poco@siti.toko.example", "siti@toko.example"),
        (Axis.EMAIL, "siti.a@outlook.fr", "sitia@outlook.fr"),
        (Axis.PHONE, "0062 812 3456 7890", "0062 812 3456 7891"),
        (Axis.PAYMENT, "pm_1AbC", "pm_1abc"),
        (Axis.PAYMENT, "tok-1-23", "tok-12-3"),
        (Axis.PAYMENT, "0123", "123"),
        (Axis.DEVICE, "9fE1", "9fe1"),
    ],
)
def test_values_of_two_people_stay_two(axis: Axis, one: str, other: str) -> None:
    assert canonical_value(axis, one) != canonical_value(axis, other)


@pytest.mark.parametrize(
    ("axis", "raw"),
    [
        (Axis.PHONE, "0812"),
        (Axis.PHONE, "08123456789012345"),
        (Axis.PHONE, "0812345678a"),
        (Axis.PHONE, "call 081234567890"),
        (Axis.PHONE, "081234567890/081234567891"),
        (Axis.PHONE, "+999 81234567890"),
        (Axis.PHONE, "()"),
        (Axis.PHONE, "6281234567011.0"),
        (Axis.PHONE, "081234567890.0"),
        (Axis.PHONE, "0812345670.00"),
        (Axis.PHONE, "081234567.000"),
        (Axis.PHONE, "6281234567011.5"),
        (Axis.PHONE, "０８１２３４５６７８９．０"),
        (Axis.PHONE, "6.281234567011E+12"),
        (Axis.PHONE, "6281234567011,0"),
        (Axis.EMAIL, "budi"),
        (Axis.EMAIL, "@gmail.com"),
        (Axis.EMAIL, "+x@gmail.com"),
        (Axis.EMAIL, "budi@localhost"),
        (Axis.EMAIL, "budi@-toko.example"),
        (Axis.EMAIL, "budi@toko..example"),
        (Axis.EMAIL, "budi @toko.example"),
        (Axis.EMAIL, "budi@siti@toko.example"),
        (Axis.EMAIL, ".budi@toko.example"),
        (Axis.EMAIL, "budi\r\nBcc: siti@toko.example"),
        (Axis.EMAIL, f"{'a' * 65}@toko.example"),
        (Axis.EMAIL, f"budi@{'a' * 64}.example"),
        (Axis.PAYMENT, "pm_1\x00"),
        (Axis.ACCOUNT, "budi\n88"),
        (Axis.NATIONAL_ID, "317409250190000"),
        (Axis.NATIONAL_ID, "31740925019000011"),
        (Axis.NATIONAL_ID, "3174-0925-0190-0001"),
        (Axis.NATIONAL_ID, "٣١٧٤٠٩٢٥٠١٩٠٠٠٠١"),
        (Axis.ADDRESS, "-, /"),
        (Axis.DEVICE, "\u202e9fe1"),
    ],
)
def test_value_is_refused_as_malformed(axis: Axis, raw: str) -> None:
    with pytest.raises(BadValue) as refused:
        canonical_value(axis, raw)
    assert (refused.value.axis, refused.value.why) == (axis, "malformed")
    assert str(refused.value) == f"{axis} is malformed"


@pytest.mark.parametrize("axis", Axis)
def test_value_is_refused_when_empty_or_beyond_its_bound(axis: Axis) -> None:
    bound = 512 if axis is Axis.ADDRESS else 256
    for raw, why in ((" \t", "empty"), ("1" * (bound + 1), "too_long")):
        with pytest.raises(BadValue) as refused:
            canonical_value(axis, raw)
        assert (refused.value.axis, refused.value.why) == (axis, why)


@given(axis=st.sampled_from(Axis), raw=st.text(max_size=600))
def test_any_text_is_refused_or_has_one_canonical_value(axis: Axis, raw: str) -> None:
    try:
        value = canonical_value(axis, raw)
    except BadValue:
        return
    if len(value) <= 256:
        assert canonical_value(axis, value) == value


def test_ids_of_the_axes_never_change() -> None:
    assert {axis.value: number for axis, number in AXIS_ID.items()} == {
        "phone": 1,
        "email": 2,
        "payment": 3,
        "account": 4,
        "national_id": 5,
        "address": 6,
        "device": 7,
        "network": 8,
    }


def test_digest_of_a_known_value_never_changes() -> None:
    key = digest_key(PEPPER, SALT, Axis.PHONE, version=1)
    assert key.hex() == "de1795cd47df9272345fecb52c1a0429636df1901530c21c8a417eb8270ed0a3"
    known = Digester(PEPPER, SALT, version=1).digest(Axis.PHONE, "0812-3456-7890")
    assert known.hex() == "28633611d8f1501f733da166f2eaf4ba"
    assert known == hmac.digest(key, b"+6281234567890", "sha256")[:16]


def test_digest_depends_on_pepper_salt_axis_and_version() -> None:
    keys = {
        digest_key(PEPPER, SALT, Axis.PAYMENT),
        digest_key(PEPPER[::-1], SALT, Axis.PAYMENT),
        digest_key(PEPPER, SALT[::-1], Axis.PAYMENT),
        digest_key(PEPPER, SALT, Axis.DEVICE),
        digest_key(PEPPER, SALT, Axis.PAYMENT, version=1),
    }
    assert len(keys) == 5


def test_pepper_too_short_to_be_a_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        Digester(b"fifteen bytes..", SALT)


@given(st.from_regex(r"(\+62|0)[0-9]{6,14}", fullmatch=True))
def test_a_plainly_typed_home_number_is_judged_as_the_library_judges_it(typed: str) -> None:
    assert identity._phone(typed) == identity._any_phone(typed)


@given(st.from_regex(r"(\+62|0)8[0-9]{7,12}", fullmatch=True))
def test_a_plainly_typed_mobile_is_judged_as_the_library_judges_it(typed: str) -> None:
    assert identity._phone(typed) == identity._any_phone(typed)


# One character that Unicode's compatibility form makes eighteen of.
LIGATURE = "\ufdfa"


def spent_s(read: Callable[[], object], *, enough: float = 0.0) -> float:
    """The processor time of this thread in the quickest of at most five calls, in seconds. Stops at `enough` or less.

    The first call compiles and fills caches, and any call may have to collect garbage.
    """
    spent = float("inf")
    for _ in range(5):
        began = time.thread_time()
        with suppress(BadValue):
            read()
        spent = min(spent, time.thread_time() - began)
        if spent <= enough:
            break
    return spent


@pytest.mark.parametrize("axis", Axis)
@pytest.mark.parametrize(
    "raw",
    [
        "a@" + LIGATURE * 150,
        LIGATURE * 200,
        "ａ" * 250 + "@x.example",
        "ä" * 250,
        "ß" * 125 + "@" + "ß" * 125,
        "。" * 250,
        "İ" * 250,
    ],
    ids=["long domain", "ligatures", "wide", "umlauts", "sharp s", "dots", "dotted i"],
)
def test_no_value_costs_more_than_its_length_allows(axis: Axis, raw: str) -> None:
    most = 0.000_05 * len(raw)
    assert spent_s(lambda: canonical_value(axis, raw), enough=most) <= most


@given(axis=st.sampled_from(Axis), raw=st.text(max_size=600))
@settings(deadline=None, max_examples=300)
def test_any_text_is_judged_in_time_that_grows_with_its_length(axis: Axis, raw: str) -> None:
    most = 0.005 + 0.000_05 * len(raw)
    assert spent_s(lambda: canonical_value(axis, raw), enough=most) <= most


@pytest.mark.parametrize(
    ("typed", "first", "second"),
    [
        ("siti.a@proton.me", "siti.a@proton.me", "sitia@proton.me"),
        ("siti+1@fastmail.fm", "siti+1@fastmail.fm", "siti@fastmail.fm"),
        ("siti+1@outlook.fr", "siti+1@outlook.fr", "siti@outlook.fr"),
        ("Siti.A+1@gmail.com", "sitia@gmail.com", "sitia@gmail.com"),
    ],
)
def test_a_campaign_keeps_the_forms_that_it_was_made_with(typed: str, first: str, second: str) -> None:
    assert [canonical_value(Axis.EMAIL, typed, version) for version in (1, 2)] == [first, second]


def test_digests_of_a_version_that_does_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="version 9"):
        Digester(PEPPER, SALT, version=9)


# Every function that brings a value into one form: those of the axes, in each version, and those of the review.
NORMALISERS: dict[str, Callable[[str], object]] = {
    **{
        f"{axis} {version}": partial(canonical_value, axis, version=version)
        for axis in Axis
        for version in CANON_VERSIONS
    },
    **{f"address of a message: {axis}": partial(message_address, axis) for axis in (Axis.PHONE, Axis.EMAIL)},
    "house": parse_house,
    "mailbox": clues.mailbox,
    "mail pattern": clues.mail_pattern,
    "own domain": clues.own_domain,
    "name": clues.name_words,
    "phone block": clues._phone,
}
PIECES = [
    "a", "1", " ", "+", "-", ".", "(", "[", "/", ",", "@", "_", "0", "62", "8", "08", "rt", "rw ", "rt 1/2 ", "ii ",
    "iv 1 ", "jl. ", "blok ", "no. ", "x1", "٣", "é", "ß", "İ", "ﷺ", "\u0301", "\u200b", "。",
    "ａ", "a.", "a@", "1 ", "8 1", "()", "6 2",
]  # fmt: skip


@pytest.mark.parametrize("name", NORMALISERS)
def test_every_normaliser_takes_a_time_that_grows_with_the_length(name: str) -> None:
    slow = {}
    for piece, tail in itertools.product(PIECES, ("", "!", "@x.example", "1")):
        raw = (piece * 256)[: 250 - len(tail)] + tail
        most = 0.000_05 * len(raw)
        if (spent := spent_s(lambda: NORMALISERS[name](raw), enough=most)) > most:  # noqa: B023 - called at once
            slow[piece, tail] = spent
    assert slow == {}
