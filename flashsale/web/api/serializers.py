"""Serializers of the REST API. drf-spectacular makes the OpenAPI document from them."""

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from flashsale.life.confirm import Buyer, PaymentChoice
from flashsale.models import Allocation, Reservation, Sale
from flashsale.models.sale import moment, ms
from flashsale.providers.payments import METHODS, PartnerProvider
from flashsale.rules.identity import VALUE_CHARS_MAX, Axis
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import (
    AllocationMode,
    AppealState,
    CaseState,
    PaymentState,
    Phase,
    RefundReason,
    RefundState,
    Remedy,
    ReservationState,
)
from flashsale.web.api.reservation_document import reservation_document
from flashsale.web.api.strict import PageSerializer, StrictSerializer

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


class OfferSerializer(serializers.Serializer[Any]):
    """An offer at its official price, in whole units of the currency."""

    sku = serializers.CharField()
    name = serializers.CharField()
    price = serializers.IntegerField()


class PlanSerializer(serializers.Serializer[Any]):
    """A plan that brings returned units of an earlier sale."""

    sale = serializers.CharField(source="source.code", help_text="The sale whose cancelled orders freed the units.")
    reserve = serializers.IntegerField(
        allow_null=True,
        help_text="Units that stay for appeals; null: every unit of an order that may still be appealed.",
    )
    units = serializers.IntegerField(allow_null=True, help_text="At most this many; null: all that may move.")
    due_at = serializers.DateTimeField(allow_null=True, help_text="When the plan runs, if a time is planned.")


class LineSerializer(serializers.Serializer[Any]):
    """A line. `cohort` and `seed` are set after the draw."""

    code = serializers.CharField()
    name = serializers.CharField()
    channels = serializers.SerializerMethodField(help_text="Codes of the channels that lead to it.")
    cohort = serializers.IntegerField(allow_null=True)
    seed = serializers.CharField(help_text="Hex; empty until the draw.")
    mode = serializers.ChoiceField([mode.value for mode in AllocationMode])
    opens_at = serializers.DateTimeField(allow_null=True, help_text="If it opens later than the sale.")
    listed_only = serializers.BooleanField(help_text="Only people on its list may enter.")
    carries = serializers.CharField(
        source="carries.code",
        default=None,
        allow_null=True,
        help_text="The line of an earlier sale whose order it carries over.",
    )
    successor = serializers.CharField(
        source="successor.code", default=None, allow_null=True, help_text="The line that gets the unclaimed units."
    )
    rolls_over_at = serializers.DateTimeField(allow_null=True)
    returned = PlanSerializer(
        many=True, source="reallocations", help_text="Published plans that bring returned units to this line."
    )

    def get_channels(self, line: Allocation) -> list[str]:
        """Codes of the channels, sorted."""
        return sorted(channel.code for channel in line.channels.all())


class CampaignSerializer(serializers.Serializer[Any]):
    """A product launch; `limit` is per person over all of its sales and channels."""

    code = serializers.CharField()
    name = serializers.CharField()
    currency = serializers.CharField(help_text="ISO 4217.")
    time_zone = serializers.CharField()
    limit = serializers.IntegerField()


@extend_schema_serializer(component_name="Sale")
class SaleSerializer(serializers.Serializer[Any]):
    """A published sale."""

    code = serializers.CharField()
    name = serializers.CharField()
    campaign = CampaignSerializer()
    phase = serializers.SerializerMethodField()
    lobby_at = serializers.DateTimeField()
    opens_at = serializers.DateTimeField()
    closes_at = serializers.DateTimeField(help_text="As planned; a pause moves it by its length.")
    limit = serializers.IntegerField(allow_null=True, help_text="Units per person, if lower than the campaign's limit.")
    claim_s = serializers.IntegerField(help_text="Seconds that a called shopper has to reserve.")
    hold_s = serializers.IntegerField(help_text="Seconds until a reservation must be confirmed.")
    extra_time_share = serializers.IntegerField(
        help_text="Percent of a line's free units (at least one unit) that wait for shoppers in their extra time."
    )
    message = serializers.CharField()
    commitment = serializers.CharField(help_text="SHA-256 of the draw's secret, hex; public since publication.")
    drawn = serializers.SerializerMethodField(help_text="Whether the transcript can be read.")
    rules = serializers.CharField(source="rules.hash", help_text="Hash of the rule set that reviews the orders.")
    offers = OfferSerializer(many=True)
    lines = LineSerializer(many=True, source="allocations")

    @extend_schema_field(serializers.ChoiceField([phase.value for phase in Phase if phase is not Phase.DRAFT]))
    def get_phase(self, sale: Sale) -> str:
        """The phase of the sale now."""
        return sale.phase(ms(timezone.now())).value

    def get_drawn(self, sale: Sale) -> bool:
        """Whether the lines are drawn, so that the secret is public."""
        return sale.frozen_at is not None


@extend_schema_serializer(component_name="RulesFixed")
class RuleSetReferenceSerializer(serializers.Serializer[Any]):
    """The rule set of the review, fixed when the sale was published."""

    number = serializers.IntegerField()
    hash = serializers.CharField(help_text="Hex SHA-256 of the rules as JSON with sorted keys and no spaces.")


@extend_schema_serializer(component_name="ReviewRules")
class RuleSetSerializer(RuleSetReferenceSerializer):
    """A rule set of the review."""

    rules = serializers.DictField(help_text="Points and bounds by name, exactly as the review applies them.")


class DrawnLineSerializer(serializers.Serializer[Any]):
    """The result of the draw for a line."""

    cohort = serializers.IntegerField()
    seed = serializers.CharField()


class TranscriptSerializer(serializers.Serializer[Any]):
    """All that anyone needs to check the draw; bytes as lower-case hex."""

    version = serializers.IntegerField()
    sale = serializers.CharField()
    commitment = serializers.CharField()
    secret = serializers.CharField()
    beacon = serializers.CharField()
    lines = serializers.DictField(child=DrawnLineSerializer())


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
    biller = serializers.CharField(
        default="", help_text="The code of the company, if `number` is the number of a bill."
    )
    qr = serializers.CharField(help_text="The text of the QR code.")
    url = serializers.CharField()
    deeplink = serializers.CharField(default="", help_text="Opens the buyer's app on their phone.")


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
    "case__appeal__remedy", "case__appeal__received_at", "case__appeal__decided_at",
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
    payment = PaymentSerializer(allow_null=True, default=None)
    cancellation = CancellationSerializer(allow_null=True, default=None)
    appeal = AppealSerializer(allow_null=True, default=None, source="case.appeal")

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
    state = serializers.ChoiceField(STATES, required=False)


# Of these parameters, those that select rows, by their name in PostgreSQL.
FILTERS = ("sale__code", "state")


class ContactSerializer(StrictSerializer):
    """Where to send the goods and the letters."""

    name = Text(max_length=CHARS_MAX)
    address = Text(max_length=ADDRESS_CHARS_MAX)
    phone = Text(max_length=VALUE_CHARS_MAX)
    email = Text(max_length=VALUE_CHARS_MAX)


class ConfirmSerializer(StrictSerializer):
    """The confirmation of an order: who buys, the price, how it is paid."""

    identity = serializers.DictField(
        child=Text(max_length=ADDRESS_CHARS_MAX),
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

    def validate_identity(self, values: dict[str, str]) -> dict[Axis, str]:
        """The values by axis."""
        try:
            return {Axis(axis): value for axis, value in values.items()}
        except ValueError as error:
            raise serializers.ValidationError(f"The axes are {', '.join(Axis)}.") from error


class RefundedSerializer(StrictSerializer):
    """A partner's word that it has refunded its buyer."""

    refund = Text(max_length=CHARS_MAX, help_text="Our reference of the refund, from `payment.refunds`.")
    reference = Text(max_length=CHARS_MAX, help_text="Your reference of the refund.")


class CancelSerializer(StrictSerializer):
    """A cancellation by the channel, which is possible for buyer_request and payment_failed only."""

    reason = serializers.ChoiceField([code.value for code in ReasonCode])
