"""The catalogue of cancellation reasons: the same words in the API, the admin pages, files and letters to buyers.

No reason is written by hand, because a buyer who reads two different reasons, from the shop and from the marketplace,
believes neither.
"""

from enum import StrEnum
from typing import NamedTuple


class ReasonCode(StrEnum):
    """Why a confirmed order was cancelled. Orders keep the code for years: add codes, never rename or remove one."""

    BUYER_REQUEST = "buyer_request"
    PAYMENT_FAILED = "payment_failed"
    ONE_PERSON_MANY_IDENTITIES = "one_person_many_identities"
    BYPASSED_LINE = "bypassed_line"
    AUTOMATED_ORDER = "automated_order"
    OFFERED_FOR_RESALE = "offered_for_resale"
    UNDELIVERABLE_ADDRESS = "undeliverable_address"
    UNIT_UNAVAILABLE = "unit_unavailable"
    CANCELLED_BY_MISTAKE = "cancelled_by_mistake"
    SALE_CALLED_OFF = "sale_called_off"


class TranslatedText(NamedTuple):
    """One text in the languages of the buyers. The field names are language codes."""

    id: str
    en: str

    def in_language(self, language: str) -> str:
        """The text for a language tag such as "id" or "en-GB"; Indonesian for every other language."""
        return self.en if language.lower().split("-")[0] == "en" else self.id


class CancelReason(NamedTuple):
    """A reason, its consequences, and the texts for the buyer."""

    code: ReasonCode
    needs_case: bool
    """The buyer did not ask for it: two people decide, and the buyer may appeal."""
    invite: bool
    """The buyer did nothing wrong and gets an invitation to the follow-up sale."""
    title: TranslatedText
    explanation: TranslatedText


_REASONS = (
    CancelReason(
        ReasonCode.BUYER_REQUEST,
        needs_case=False,
        invite=False,
        title=TranslatedText(id="Permintaan pembeli", en="Buyer's request"),
        explanation=TranslatedText(
            id="Pesanan dibatalkan karena Anda memintanya.",
            en="The order was cancelled because you asked for it.",
        ),
    ),
    CancelReason(
        ReasonCode.PAYMENT_FAILED,
        needs_case=False,
        invite=False,
        title=TranslatedText(id="Pembayaran gagal", en="Payment failed"),
        explanation=TranslatedText(
            id="Penyedia pembayaran menolak atau menarik kembali pembayaran untuk pesanan ini.",
            en="The payment provider declined or reversed the payment for this order.",
        ),
    ),
    CancelReason(
        ReasonCode.ONE_PERSON_MANY_IDENTITIES,
        needs_case=True,
        invite=False,
        title=TranslatedText(id="Satu orang, beberapa identitas", en="One person, several identities"),
        explanation=TranslatedText(
            id="Data yang sama dipakai pada beberapa pesanan dengan identitas berbeda, sehingga jumlahnya melebihi "
            "batas pembelian per orang yang diumumkan sebelum penjualan.",
            en="The same details were used on several orders under different identities, which together exceed the "
            "limit per person announced before the sale.",
        ),
    ),
    CancelReason(
        ReasonCode.BYPASSED_LINE,
        needs_case=True,
        invite=False,
        title=TranslatedText(id="Tidak melalui antrean", en="Bypassed the line"),
        explanation=TranslatedText(
            id="Pesanan ini dibuat tanpa melalui antrean yang berlaku bagi semua pembeli.",
            en="The order was made without passing the line that applied to every buyer.",
        ),
    ),
    CancelReason(
        ReasonCode.AUTOMATED_ORDER,
        needs_case=True,
        invite=False,
        title=TranslatedText(id="Pesanan otomatis", en="Automated order"),
        explanation=TranslatedText(
            id="Pesanan ini dibuat oleh program, bukan oleh orang, padahal aturan penjualan tidak mengizinkannya.",
            en="The order was made by a program and not by a person, which the rules of the sale do not allow.",
        ),
    ),
    CancelReason(
        ReasonCode.OFFERED_FOR_RESALE,
        needs_case=True,
        invite=False,
        title=TranslatedText(id="Ditawarkan untuk dijual kembali", en="Offered for resale"),
        explanation=TranslatedText(
            id="Unit dari pesanan ini ditawarkan untuk dijual kembali, padahal aturan penjualan tidak mengizinkannya.",
            en="The unit of this order was offered for resale, which the rules of the sale do not allow.",
        ),
    ),
    CancelReason(
        ReasonCode.UNDELIVERABLE_ADDRESS,
        needs_case=True,
        invite=False,
        title=TranslatedText(id="Alamat tidak dapat dikirimi", en="Address cannot be delivered to"),
        explanation=TranslatedText(
            id="Kurir tidak dapat mengirim ke alamat yang diberikan, dan kami tidak berhasil menghubungi Anda untuk "
            "memperbaikinya.",
            en="The courier cannot deliver to the address given, and we could not reach you to correct it.",
        ),
    ),
    CancelReason(
        ReasonCode.UNIT_UNAVAILABLE,
        needs_case=True,
        invite=True,
        title=TranslatedText(id="Unit tidak tersedia", en="Unit not available"),
        explanation=TranslatedText(
            id="Unit untuk pesanan ini rusak atau hilang sebelum dikirim. Ini bukan kesalahan Anda, dan "
            "kami mengundang Anda ke penjualan lanjutan.",
            en="The unit for this order was damaged or lost before it was sent. This is not your fault, and we invite "
            "you to the follow-up sale.",
        ),
    ),
    CancelReason(
        ReasonCode.CANCELLED_BY_MISTAKE,
        needs_case=True,
        invite=True,
        title=TranslatedText(id="Dibatalkan karena kekeliruan kami", en="Cancelled by our mistake"),
        explanation=TranslatedText(
            id="Pesanan Anda ikut dibatalkan karena kekeliruan kami. Kami mohon maaf, dan kami mengundang Anda ke "
            "penjualan lanjutan.",
            en="Your order was cancelled by our mistake. We apologise, and we invite you to the follow-up sale.",
        ),
    ),
    CancelReason(
        ReasonCode.SALE_CALLED_OFF,
        needs_case=True,
        invite=True,
        title=TranslatedText(id="Penjualan ditiadakan", en="Sale called off"),
        explanation=TranslatedText(
            id="Seluruh penjualan ditiadakan, sehingga semua pesanan ikut dibatalkan. Ini bukan kesalahan Anda, dan "
            "kami mengundang Anda ke penjualan lanjutan.",
            en="The whole sale was called off, so every order was cancelled. This is not your fault, and we invite you "
            "to the follow-up sale.",
        ),
    ),
)

REASONS: dict[ReasonCode, CancelReason] = {cancel_reason.code: cancel_reason for cancel_reason in _REASONS}


def cancel_reason(code: str) -> CancelReason:
    """The reason with this code. Raises ValueError when the catalogue does not have it."""
    return REASONS[ReasonCode(code)]
