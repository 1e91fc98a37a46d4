"""Serializers of the REST API. drf-spectacular makes the OpenAPI document from them."""

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from flashsale.life.confirm import Buyer, PaymentChoice
from flashsale.models import Reservation
from flashsale.models.sale import moment
from flashsale.providers.payments import METHODS, PartnerProvider
from flashsale.rules.attached import REFERENCE_CHARS_MAX
from flashsale.rules.identity import VALUE_CHARS_MAX, Axis
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import (
    AppealState,
    CaseState,
    PaymentState,
    RefundReason,
    RefundState,
    Remedy,
    ReservationState,
)
from flashsale.web.api.reservation_document import reservation_document
from flashsale.web.api.strict import Digits, Instant, PageSerializer, StrictSerializer

CHARS_MAX = 200
ADDRESS_CHARS_MAX = 512
# No caller ever got the id of an abandoned reservation.
STATES = [state.value for state in ReservationState if state is not ReservationState.ABANDONED]
PAYMENT_STATES = [state.value for state in PaymentState]


class WholeNumber(serializers.IntegerField):
    """A JSON integer. Refuses strings, floats and booleans."""

    def to_internal_value(self, data: Any) -> int:
        """The integer, or a validation error."""
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A JSON string. Refuses numbers and booleans."""

    def to_internal_value(self, data: Any) -> str:
        """The string, or a validation error."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class ItemSerializer(serializers.Serializer[Any]):
    """A unit of a reservation."""

    serial = serializers.CharField(source="unit.serial")
    sku = serializers.CharField()
    price = serializers.IntegerField()


class InstructionsSerializer(serializers.Serializer[Any]):
    """How the buyer pays: a QR code, the number of a virtual account, or an address to open."""

    kind = serializers.ChoiceField(["qr", "va", "redirect", "deeplink", "card"])
    expires_at = serializers.CharField(help_text="When the provider stops taking the money; empty: with the hold.")
    bank = serializers.CharField()
    number = serializers.CharField()
    biller = serializers.CharField(help_text="The code of the company, if `number` is the number of a bill.")
    qr = serializers.CharField(help_text="The text of the QR code.")
    url = serializers.CharField()
    deeplink = serializers.CharField(help_text="Opens the buyer's app on their phone.")


class RefundSerializer(serializers.Serializer[Any]):
    """Money that goes back."""

    reference = serializers.CharField(help_text="Ours. You name it when you answer a refund.")
    amount = serializers.IntegerField()
    why = serializers.ChoiceField([why.value for why in RefundReason])
    state = serializers.ChoiceField(
        [state.value for state in RefundState],
        help_text="sent: the party that charged the buyer was asked; with the method partner, that is you.",
    )


class PaymentSerializer(serializers.Serializer[Any]):
    """The payment of a reservation."""

    method = serializers.CharField()
    state = serializers.ChoiceField(PAYMENT_STATES, source="payment_state")
    amount = serializers.IntegerField()
    reference = serializers.CharField()
    refund_reference = serializers.CharField()
    instructions = InstructionsSerializer(
        allow_null=True, help_text="What the buyer needs to pay, while the payment is started; null when it is over."
    )
    refunds = RefundSerializer(many=True, help_text="All refunds of this payment, the first one first.")


class CancellationSerializer(serializers.Serializer[Any]):
    """The cancellation of a confirmed order. An order that an appeal restored still shows it."""

    reason = serializers.CharField()
    at = serializers.DateTimeField()
    appeal_until = serializers.DateTimeField(
        allow_null=True, help_text="Null while the letter to the buyer is not sent, and when no appeal is possible."
    )


class AppealSerializer(serializers.Serializer[Any]):
    """The buyer's appeal: open, upheld (the cancellation stands) or overturned (it was wrong)."""

    state = serializers.ChoiceField([state.value for state in AppealState])
    remedy = serializers.ChoiceField(
        ["", *(remedy.value for remedy in Remedy)],
        help_text="restored: the order is valid again; priority: refunded, and the first unit of the next sale.",
    )
    received_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField(allow_null=True)


# The columns of six tables that a reservation's document reads. A missing one costs a query for each reservation.
RESERVATION_COLUMNS = (
    "sale__code", "sale__paused_ms", "sale__campaign__currency", "allocation__code", "channel__code", "state",
    "index", "number", "quantity", "amount", "made_at", "deadline_ms", "confirmed_at", "ended_at",
    "cancellation__reason", "cancellation__at", "cancellation__appeal_until", "case__state", "case__appeal__state",
    "case__appeal__remedy", "case__appeal__received_at", "case__appeal__decided_at", "partner_reference", "metadata",
)  # fmt: skip


@extend_schema_serializer(component_name="Reservation")
class ReservationSerializer(serializers.Serializer[Any]):
    """A reservation of the calling channel. Ship only when `do_not_ship` is false."""

    # Its fields describe the document for OpenAPI; `reservation_document` makes it.
    def to_representation(self, instance: Reservation) -> dict[str, Any]:
        """The document."""
        return reservation_document(instance)

    id = serializers.UUIDField()
    sale = serializers.CharField(source="sale.code")
    line = serializers.CharField(source="allocation.code")
    channel = serializers.CharField(source="channel.code")
    state = serializers.ChoiceField(STATES)
    index = serializers.IntegerField()
    number = serializers.IntegerField()
    quantity = serializers.IntegerField()
    amount = serializers.IntegerField()
    currency = serializers.CharField(source="sale.campaign.currency")
    items = ItemSerializer(many=True)
    made_at = serializers.DateTimeField()
    deadline_at = serializers.SerializerMethodField(
        help_text="The time until which it must be confirmed; a pause moves it."
    )
    confirmed_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    do_not_ship = serializers.BooleanField()
    review = serializers.SerializerMethodField()
    payment = PaymentSerializer(allow_null=True)
    cancellation = CancellationSerializer(allow_null=True)
    appeal = AppealSerializer(allow_null=True, source="case.appeal")
    partner_reference = serializers.CharField(allow_null=True, help_text="Yours, as you sent it with `reserve`.")
    now = serializers.DateTimeField(required=False, help_text="When it was read. Only in the answer to a GET.")
    metadata = serializers.SerializerMethodField(help_text="Yours, as you sent it with `reserve`; else empty.")

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_metadata(self, reservation: Reservation) -> dict[str, str]:
        """What the partner attached to the reservation."""
        return reservation.metadata or {}

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_deadline_at(self, reservation: Reservation) -> str:
        """The deadline as wall-clock time: the line's clock plus all pauses."""
        at = moment(reservation.deadline_ms + reservation.sale.paused_ms)
        return timezone.localtime(at).isoformat()

    @extend_schema_field(serializers.ChoiceField([state.value for state in CaseState], allow_null=True))
    def get_review(self, reservation: Reservation) -> str | None:
        """The state of its review, null without a case."""
        case = getattr(reservation, "case", None)
        return case.state if case else None


class FiltersSerializer(PageSerializer):
    """Query parameters that select reservations, and the page."""

    sale = serializers.CharField(source="sale__code", required=False, help_text="The code of a sale.")
    line = serializers.CharField(source="allocation__code", required=False, help_text="The code of a line.")
    index = Digits(required=False, min_value=1, help_text="The index of a place. Send its `sale` and `line`, too.")
    state = serializers.ChoiceField(STATES, required=False)
    partner_reference = serializers.CharField(
        required=False, max_length=REFERENCE_CHARS_MAX, help_text="Yours. Several reservations may have it."
    )
    updated_after = Instant(
        required=False,
        help_text="Reservations with an event since this time, at most 30 days ago. Some may be up to a minute older.",
    )

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        """The parameters. Raises ValidationError for an index without its sale and line, because it names no place."""
        if "index" in data and not {"sale__code", "allocation__code"} <= data.keys():
            raise serializers.ValidationError({"index": "An index counts in one line: send its sale and line, too."})
        return data


# Of these parameters, those that select rows, by their name in PostgreSQL.
FILTERS = ("sale__code", "allocation__code", "index", "state", "partner_reference")


class ContactSerializer(StrictSerializer):
    """Where to send the goods and the letters."""

    name = Text(max_length=CHARS_MAX)
    address = Text(max_length=ADDRESS_CHARS_MAX)
    phone = Text(max_length=VALUE_CHARS_MAX)
    email = Text(max_length=VALUE_CHARS_MAX)


class IdentityField(serializers.DictField):
    """The values of a person, by axis."""

    child = Text(max_length=ADDRESS_CHARS_MAX)

    def to_internal_value(self, data: Any) -> dict[Axis, str]:
        """The values by axis, or a validation error."""
        values = super().to_internal_value(data)
        try:
            return {Axis(axis): value for axis, value in values.items()}
        except ValueError as error:
            raise serializers.ValidationError(f"The axes are {', '.join(Axis)}.") from error


class ConfirmSerializer(StrictSerializer):
    """The confirmation of an order: who buys, the price, how it is paid."""

    identity = IdentityField(
        help_text=f"The values used to enter the line, and others known now. Axes: {', '.join(Axis)}.",
    )
    contact = ContactSerializer()
    language = serializers.ChoiceField(["id", "en"], default="id", help_text="The language of letters to the buyer.")
    price = WholeNumber(min_value=0, help_text="The total that the buyer saw.")
    method = serializers.ChoiceField(
        [*METHODS, PartnerProvider.account],
        help_text="The buyer's explicit choice. partner: you have charged the buyer, and you refund them.",
    )
    instrument = Text(
        max_length=CHARS_MAX,
        required=False,
        default="",
        help_text=(
            "The payment provider's token of a card. Leave it out for methods that the buyer pays elsewhere, like a QR "
            "code or a virtual account: the answer has `instructions`. The demo declines demo-declined; for demo-later "
            "it calls back. With the method partner: your reference of the payment, for one order only."
        ),
    )

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        """The arguments of :func:`flashsale.life.confirm.confirm`."""
        buyer = Buyer(data["identity"], data["contact"], data["language"])
        return {"buyer": buyer, "payment_choice": PaymentChoice(data["price"], data["method"], data["instrument"])}


class RefundedSerializer(StrictSerializer):
    """A partner's word that it has refunded its buyer."""

    refund = Text(max_length=CHARS_MAX, help_text="Our reference of the refund, from `payment.refunds`.")
    reference = Text(max_length=CHARS_MAX, help_text="Your reference of the refund.")


class CancelSerializer(StrictSerializer):
    """A cancellation by the channel, which is possible for buyer_request and payment_failed only."""

    reason = serializers.ChoiceField([code.value for code in ReasonCode])
