"""The catalogue of cancellation reasons: the same words in the API, the admin pages, files and letters to buyers.

A buyer who is told one thing by the shop and another by the marketplace believes neither, so nobody writes a reason
by hand.
"""

from enum import StrEnum
from typing import NamedTuple


class ReasonCode(StrEnum):
    """Why a confirmed order was cancelled. Orders keep the code for years: add codes, never rename one."""

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


class Text(NamedTuple):
    """One text in the languages of the buyers, by language code."""

    id: str
    en: str

    def in_language(self, language: str) -> str:
        """The text for a language tag such as "id" or "en-GB"; Indonesian for a language we do not write."""
        return self.en if language.lower().split("-")[0] == "en" else self.id


class CancelReason(NamedTuple):
    """A reason, what it entails, and how it is told to the buyer."""

    code: ReasonCode
    needs_case: bool
    """Against the buyer's wish: two people decide, and the buyer may appeal."""
    invite: bool
    """The buyer did nothing wrong and is invited to the follow-up sale."""
    title: Text
    explanation: Text


_REASONS = (
    CancelReason(
        ReasonCode.BUYER_REQUEST,
        needs_case=False,
        invite=False,
        title=Text(id="Permintaan pembeli", en="Buyer's request"),
        explanation=Text(
            id="Pesanan dibatalkan karena Anda memintanya.",
            en="The order was cancelled because you asked for it.",
        ),
    ),
    CancelReason(
        ReasonCode.PAYMENT_FAILED,
        needs_case=False,
        invite=False,
        title=Text(id="Pembayaran gagal", en="Payment failed"),
        explanation=Text(
            id="Penyedia pembayaran menolak atau menarik kembali pembayaran untuk pesanan ini.",
            en="The payment provider declined or reversed the payment for this order.",
        ),
    ),
    CancelReason(
        ReasonCode.ONE_PERSON_MANY_IDENTITIES,
        needs_case=True,
        invite=False,
        title=Text(id="Satu orang, beberapa identitas", en="One person, several identities"),
        explanation=Text(
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
        title=Text(id="Tidak melalui antrean", en="Bypassed the line"),
        explanation=Text(
            id="Pesanan ini dibuat tanpa melalui antrean yang berlaku bagi semua pembeli.",
            en="The order was made without passing the line that applied to every buyer.",
        ),
    ),
    CancelReason(
        ReasonCode.AUTOMATED_ORDER,
        needs_case=True,
        invite=False,
        title=Text(id="Pesanan otomatis", en="Automated order"),
        explanation=Text(
            id="Pesanan ini dibuat oleh program, bukan oleh orang, padahal aturan penjualan tidak mengizinkannya.",
            en="The order was made by a program and not by a person, which the rules of the sale do not allow.",
        ),
    ),
    CancelReason(
        ReasonCode.OFFERED_FOR_RESALE,
        needs_case=True,
        invite=False,
        title=Text(id="Ditawarkan untuk dijual kembali", en="Offered for resale"),
        explanation=Text(
            id="Unit dari pesanan ini ditawarkan untuk dijual kembali, padahal aturan penjualan tidak mengizinkannya.",
            en="The unit of this order was offered for resale, which the rules of the sale do not allow.",
        ),
    ),
    CancelReason(
        ReasonCode.UNDELIVERABLE_ADDRESS,
        needs_case=True,
        invite=False,
        title=Text(id="Alamat tidak dapat dikirimi", en="Address cannot be delivered to"),
        explanation=Text(
            id="Kurir tidak dapat mengirim ke alamat yang diberikan, dan kami tidak berhasil menghubungi Anda untuk "
            "memperbaikinya.",
            en="The courier cannot deliver to the address given, and we could not reach you to correct it.",
        ),
    ),
    CancelReason(
        ReasonCode.UNIT_UNAVAILABLE,
        needs_case=True,
        invite=True,
        title=Text(id="Unit tidak tersedia", en="Unit not available"),
        explanation=Text(
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
        title=Text(id="Dibatalkan karena kekeliruan kami", en="Cancelled by our mistake"),
        explanation=Text(
            id="Pesanan Anda ikut dibatalkan karena kekeliruan kami. Kami mohon maaf, dan kami mengundang Anda ke "
            "penjualan lanjutan.",
            en="Your order was cancelled by our mistake. We apologise, and we invite you to the follow-up sale.",
        ),
    ),
    CancelReason(
        ReasonCode.SALE_CALLED_OFF,
        needs_case=True,
        invite=True,
        title=Text(id="Penjualan dibatalkan", en="Sale called off"),
        explanation=Text(
            id="Seluruh penjualan dibatalkan, sehingga semua pesanan ikut dibatalkan. Ini bukan kesalahan Anda, dan "
            "kami mengundang Anda ke penjualan lanjutan.",
            en="The whole sale was called off and every order with it. This is not your fault, and we invite you to "
            "the follow-up sale.",
        ),
    ),
)

REASONS: dict[ReasonCode, CancelReason] = {reason.code: reason for reason in _REASONS}


def reason(code: str) -> CancelReason:
    """The reason with this code. Raises ValueError when the catalogue has none."""
    return REASONS[ReasonCode(code)]
