"""Values as people write them are read, and a value with two meanings is refused."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules.money import format_money
from flashsale.rules.typed_values import NotRead, Why, format_duration, read_duration, read_money, read_time

WIB, BERLIN = ZoneInfo("Asia/Jakarta"), ZoneInfo("Europe/Berlin")
TEN = datetime(2027, 1, 29, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "1799000", "1.799.000", "1,799,000", "1 799 000", "Rp 1.799.000", "Rp1.799.000", "rp. 1.799.000,-",
        "IDR 1799000", "1.799.000 IDR", "Rp\u00a01.799.000", "1.799.000,00", "1,799,000.00", "1799000.00", " 1799000 ",
    ],
)  # fmt: skip
def test_a_price_is_read_in_each_spelling(text: str) -> None:
    assert read_money(text, "IDR") == 1_799_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1.799", Why.TWO_AMOUNTS), ("1,799", Why.TWO_AMOUNTS), ("Rp 1,799", Why.TWO_AMOUNTS), ("1.8", Why.FRACTION),
        ("1.799.00", Why.FRACTION), ("1.00", Why.FRACTION), ("1799000,50", Why.FRACTION), ("1.799.0000", Why.NO_MONEY),
        ("1.799,000", Why.NO_MONEY), ("0.500.000", Why.NO_MONEY), ("1.799E+06", Why.NO_MONEY), ("-5", Why.NO_MONEY),
        ("1,8 juta", Why.NO_MONEY), ("", Why.NO_MONEY), ("Rp 5 IDR", Why.NO_MONEY), ("9" * 40, Why.NO_MONEY),
        ("USD 1,799,000", Why.OTHER_CURRENCY), ("٣", Why.NO_MONEY), ("RM 5", Why.OTHER_CURRENCY),
    ],
)  # fmt: skip
def test_an_amount_with_two_meanings_or_none_is_refused(text: str, why: Why) -> None:
    with pytest.raises(NotRead) as refused:
        read_money(text, "IDR")
    assert refused.value.why == why


def test_one_group_of_thousands_is_read_where_it_can_only_be_that() -> None:
    assert (read_money("Rp 99.900", "IDR"), read_money("500.000", "IDR")) == (99_900, 500_000)
    assert (read_money("MYR 1,799"), read_money("2")) == (1799, 2)


@given(st.integers(0, 10**15), st.sampled_from(["IDR", "MYR", "USD"]))
def test_what_a_page_shows_of_an_amount_is_read_as_this_amount(amount: int, currency: str) -> None:
    shown = format_money(amount, currency) if currency == "IDR" else f"{currency} {amount:,}"
    assert read_money(shown, currency) == amount


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("5 min", 300_000), ("5 menit", 300_000), ("5min", 300_000), ("90 s", 90_000), ("90 detik", 90_000),
        ("1 jam 30 menit", 5_400_000), ("24 h", 86_400_000), ("2 hari", 172_800_000), ("500 ms", 500), ("0", 0),
        ("1 minggu", 604_800_000),
    ],
)  # fmt: skip
def test_a_duration_is_read_in_both_languages(text: str, ms: int) -> None:
    assert read_duration(text) == ms


@pytest.mark.parametrize(
    ("text", "why"),
    [("5", Why.NO_UNIT), ("5 m", Why.NO_DURATION), ("1.5 h", Why.NO_DURATION), ("", Why.NO_DURATION),
     ("min", Why.NO_DURATION), ("-5 min", Why.NO_DURATION), ("5 min later", Why.NO_DURATION)],
)  # fmt: skip
def test_a_number_without_a_unit_is_no_duration(text: str, why: Why) -> None:
    with pytest.raises(NotRead) as refused:
        read_duration(text)
    assert refused.value.why == why


@given(st.integers(0, 10**10), st.sampled_from(["en", "id"]))
def test_what_a_page_shows_of_a_duration_is_read_as_this_duration(ms: int, language: str) -> None:
    assert read_duration(format_duration(ms, language)) == ms


@pytest.mark.parametrize(
    "text",
    [
        "2027-01-29 10:00", "2027-01-29T10:00", "2027-01-29 10:00:00 WIB", "2027-01-29 11:00 WITA", "29/01/2027 10.00",
        "29 Januari 2027 pukul 10.00 WIB", "29 January 2027 10:00", "1/29/2027 10:00 AM", "29-01-2027 10:00",
        "2027-01-29T03:00Z", "2027-01-29T10:00+07:00", "2027-01-29 10:00 +0700",
    ],
)  # fmt: skip
def test_a_time_is_read_on_the_clock_of_its_zone(text: str) -> None:
    assert read_time(text, WIB) == TEN


def test_a_time_of_the_day_is_enough_where_the_day_is_known() -> None:
    assert read_time("12:00 WIB", WIB, day_of=TEN) == datetime(2027, 1, 29, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("02/01/2027 10:00", Why.DAY_OR_MONTH), ("12:00", Why.NO_DATE), ("2027-02-30 10:00", Why.NO_TIME),
        ("29 Foo 2027 10:00", Why.NO_TIME), ("2027-01-29 25:00", Why.NO_TIME), ("2027-01-29 13:00 am", Why.NO_TIME),
        ("2027-01-29 10:00 +99:99", Why.NO_TIME), ("2027-01-29 10:00 -2500", Why.NO_TIME),
        ("tomorrow", Why.NO_TIME), ("2027-03-28 02:30", Why.NOT_ON_THE_CLOCK),
        ("2027-10-31 02:30", Why.TWICE_ON_THE_CLOCK), ("46041.4166", Why.NO_TIME),
    ],
)  # fmt: skip
def test_a_time_with_two_meanings_or_none_is_refused(text: str, why: Why) -> None:
    with pytest.raises(NotRead) as refused:
        read_time(text, BERLIN)
    assert refused.value.why == why
