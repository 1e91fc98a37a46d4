"""What a shopper reads after a refusal of our own page."""

import pytest
from django.utils.translation import override

from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web.pages import texts


@pytest.mark.parametrize(
    ("refused", "has_place", "english", "indonesian"),
    [
        (
            Refused(Outcome.TOO_MANY_REQUESTS, "5 calls are allowed.", 61), True,
            "Try again in 2 minutes. Your place is safe.", "Coba lagi dalam 2 menit. Tempat Anda tetap aman.",
        ),
        (
            Refused(Outcome.TOO_MANY_REQUESTS, "5 calls are allowed.", 60), False,
            "Try again in 1 minute.", "Coba lagi dalam 1 menit.",
        ),
        (
            Refused(Outcome.WRONG_CODE, "phone"), False,
            "The phone code is wrong or expired. Use the newest message.",
            "Kode ponsel salah atau kedaluwarsa. Pakai pesan terakhir.",
        ),
        (
            Refused(Outcome.WRONG_CODE, "email"), False,
            "The e-mail code is wrong or expired. Use the newest message.",
            "Kode email salah atau kedaluwarsa. Pakai email terakhir.",
        ),
        (Refused(Outcome.SOLD_OUT), True, "No unit is free now.", "Saat ini tidak ada unit yang tersedia."),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do(refused: Refused, has_place: bool, english: str, indonesian: str) -> None:
    for language, text in (("en", english), ("id", indonesian)):
        with override(language):
            assert texts.refusal(refused, has_place=has_place) == text
