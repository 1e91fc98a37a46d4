"""One catalogue of reasons, whole in both languages."""

import pytest

from flashsale.rules.reasons import REASONS, ReasonCode, TranslatedText, cancel_reason


def test_every_code_has_its_reason() -> None:
    assert list(REASONS) == list(ReasonCode)
    assert [cancel_reason(code.value).code for code in ReasonCode] == list(ReasonCode)


def test_reason_that_is_not_in_the_catalogue_is_refused() -> None:
    with pytest.raises(ValueError, match="unusual"):
        cancel_reason("unusual")


def test_only_buyer_and_payment_end_an_order_without_a_case() -> None:
    without = {code for code, known in REASONS.items() if not known.needs_case}
    assert without == {ReasonCode.BUYER_REQUEST, ReasonCode.PAYMENT_FAILED}


def test_buyers_who_did_nothing_wrong_are_invited() -> None:
    invited = {code for code, known in REASONS.items() if known.invite}
    assert invited == {ReasonCode.UNIT_UNAVAILABLE, ReasonCode.CANCELLED_BY_MISTAKE, ReasonCode.SALE_CALLED_OFF}
    assert all("penjualan lanjutan" in REASONS[code].explanation.id for code in invited)
    assert all("follow-up sale" in REASONS[code].explanation.en for code in invited)


def test_texts_differ_between_reasons_and_languages() -> None:
    texts = [text for known in REASONS.values() for text in (*known.title, *known.explanation)]
    assert len(set(texts)) == 4 * len(ReasonCode)
    assert all(text.strip() == text and text for text in texts)


@pytest.mark.parametrize(
    ("language", "text"), [("id", "halo"), ("id-ID", "halo"), ("en", "hello"), ("EN-gb", "hello"), ("jv", "halo")]
)
def test_buyer_reads_the_language(language: str, text: str) -> None:
    assert TranslatedText(id="halo", en="hello").in_language(language) == text
