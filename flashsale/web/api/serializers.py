"""What the REST API takes and gives, field by field; the OpenAPI document is made from it."""

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from flashsale.life.confirm import Buyer, Payer
from flashsale.models import Allocation, Reservation, Sale
from flashsale.models.sale import moment, ms
from flashsale.providers.payments import METHODS
from flashsale.rules.identity import VALUE_CHARS_MAX, Axis
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import (
    AllocationMode,
    AppealState,
    CaseState,
    PaymentState,
    Phase,
    Remedy,
    ReservationState,
)

CHARS_MAX = 200
ADDRESS_CHARS_MAX = 512
# Nobody was told of an abandoned one.
STATES = [state.value for state in ReservationState if state is not ReservationState.ABANDONED]


class WholeNumber(serializers.IntegerField):
    """A JSON number without fraction; a string that looks like one is none."""

    def to_internal_value(self, data: Any) -> int:
        """The number."""
        if type(data) is not int:
            self.fail("invalid")
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """A JSON string; a number or a bool is none."""

    def to_internal_value(self, data: Any) -> str:
        """The string."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Offer(serializers.Serializer[Any]):
    """A thing sold, at its official price in whole units of the currency."""

    sku = serializers.CharField()
    name = serializers.CharField()
    price = serializers.IntegerField()


class Plan(serializers.Serializer[Any]):
    """Returned units of an earlier sale come by this plan."""

    sale = serializers.CharField(source="source.code", help_text="Whose cancelled orders freed them.")
    reserve = serializers.IntegerField(
        allow_null=True, help_text="So many units stay for appeals; null: all that an appeal may still be about."
    )
    units = serializers.IntegerField(allow_null=True, help_text="At most so many; null: all that may move.")
    due_at = serializers.DateTimeField(allow_null=True, help_text="When it is carried out, if that was planned ahead.")


class Line(serializers.Serializer[Any]):
    """A line of people. `cohort` and `seed` are there once it is drawn."""

    code = serializers.CharField()
    name = serializers.CharField()
    channels = serializers.SerializerMethodField(help_text="Which channels lead to it.")
    cohort = serializers.IntegerField(allow_null=True)
    seed = serializers.CharField(help_text="Hex; empty until the draw.")
    mode = serializers.ChoiceField([mode.value for mode in AllocationMode])
    opens_at = serializers.DateTimeField(allow_null=True, help_text="Where it opens later than the sale.")
    listed_only = serializers.BooleanField(help_text="Only people on its list enter.")
    carries = serializers.CharField(
        source="carries.code",
        default=None,
        allow_null=True,
        help_text="The line of an earlier sale whose order it carries over.",
    )
    successor = serializers.CharField(
        source="successor.code", default=None, allow_null=True, help_text="Gets what nobody has claimed."
    )
    rolls_over_at = serializers.DateTimeField(allow_null=True)
    returned = Plan(many=True, source="reallocations", help_text="Published plans by which returned units come here.")

    def get_channels(self, line: Allocation) -> list[str]:
        """The channels' codes."""
        return sorted(channel.code for channel in line.channels.all())


class Campaign(serializers.Serializer[Any]):
    """A product launch; `limit` is per person over all of its sales and channels."""

    code = serializers.CharField()
    name = serializers.CharField()
    currency = serializers.CharField(help_text="ISO 4217.")
    time_zone = serializers.CharField()
    limit = serializers.IntegerField()


@extend_schema_serializer(component_name="Sale")
class SaleShape(serializers.Serializer[Any]):
    """A published sale."""

    code = serializers.CharField()
    name = serializers.CharField()
    campaign = Campaign()
    phase = serializers.SerializerMethodField()
    lobby_at = serializers.DateTimeField()
    opens_at = serializers.DateTimeField()
    closes_at = serializers.DateTimeField(help_text="As planned; a pause moves it by its length.")
    limit = serializers.IntegerField(allow_null=True, help_text="Per person, where lower than the campaign's.")
    claim_s = serializers.IntegerField(help_text="Seconds in which a shopper who is called may reserve.")
    hold_s = serializers.IntegerField(help_text="Seconds in which a reservation must be confirmed.")
    message = serializers.CharField()
    commitment = serializers.CharField(help_text="SHA-256 of the draw's secret, hex, shown since publication.")
    drawn = serializers.SerializerMethodField(help_text="Whether the transcript is there.")
    rules = serializers.CharField(source="rules.hash", help_text="Hash of the rules by which orders are reviewed.")
    offers = Offer(many=True)
    lines = Line(many=True, source="allocations")

    @extend_schema_field(serializers.ChoiceField([phase.value for phase in Phase if phase is not Phase.DRAFT]))
    def get_phase(self, sale: Sale) -> str:
        """Where the sale stands now."""
        return sale.phase(ms(timezone.now())).value

    def get_drawn(self, sale: Sale) -> bool:
        """Whether the secret is public."""
        return sale.frozen_at is not None


class RulesFixed(serializers.Serializer[Any]):
    """Which rule set the review goes by, fixed when the sale was published."""

    number = serializers.IntegerField()
    hash = serializers.CharField(help_text="Hex, SHA-256 of the rules as JSON with sorted keys and no spaces.")


class ReviewRules(RulesFixed):
    """A rule set of the review."""

    rules = serializers.DictField(help_text="Points and bounds by name, exactly as they are applied.")


class DrawnLine(serializers.Serializer[Any]):
    """What the draw gave a line."""

    cohort = serializers.IntegerField()
    seed = serializers.CharField()


class Transcript(serializers.Serializer[Any]):
    """Everything by which a stranger can check the draw; bytes as lower-case hex."""

    version = serializers.IntegerField()
    sale = serializers.CharField()
    commitment = serializers.CharField()
    secret = serializers.CharField()
    beacon = serializers.CharField()
    lines = serializers.DictField(child=DrawnLine())


class Item(serializers.Serializer[Any]):
    """A unit of a reservation."""

    serial = serializers.CharField(source="unit.serial")
    sku = serializers.CharField()
    price = serializers.IntegerField()


class Payment(serializers.Serializer[Any]):
    """The money of a reservation."""

    method = serializers.CharField()
    state = serializers.ChoiceField([state.value for state in PaymentState])
    amount = serializers.IntegerField()
    reference = serializers.CharField()
    refund_reference = serializers.CharField()


class Cancellation(serializers.Serializer[Any]):
    """The end of a confirmed order; one that was restored after an appeal still shows it."""

    reason = serializers.CharField()
    at = serializers.DateTimeField()
    appeal_until = serializers.DateTimeField(allow_null=True)


class Appeal(serializers.Serializer[Any]):
    """The buyer's objection: open, upheld (the cancellation stands) or overturned (it was wrong)."""

    state = serializers.ChoiceField([state.value for state in AppealState])
    remedy = serializers.ChoiceField(
        ["", *(remedy.value for remedy in Remedy)],
        help_text="restored: the order stands again; priority: refunded, with the first unit of the next sale.",
    )
    received_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField(allow_null=True)


# What a reservation's document reads of seven tables; whatever is missing here costs a question for each reservation.
RESERVATION_READS = (
    "sale__code", "sale__paused_ms", "sale__campaign__currency", "allocation__code", "channel__code", "state", "index",
    "number", "quantity", "amount", "made_at", "deadline_ms", "confirmed_at", "ended_at", "payment__method",
    "payment__state", "payment__amount", "payment__reference", "payment__refund_reference", "cancellation__reason",
    "cancellation__at", "cancellation__appeal_until", "case__state", "case__appeal__state", "case__appeal__remedy",
    "case__appeal__received_at", "case__appeal__decided_at",
)  # fmt: skip


@extend_schema_serializer(component_name="Reservation")
class ReservationShape(serializers.Serializer[Any]):
    """A reservation of the calling channel. Ship only when `do_not_ship` is false."""

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
    items = Item(many=True)
    made_at = serializers.DateTimeField()
    deadline_at = serializers.SerializerMethodField(help_text="Until then it must be confirmed; a pause moves it.")
    confirmed_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    do_not_ship = serializers.BooleanField()
    review = serializers.SerializerMethodField()
    payment = Payment(allow_null=True, default=None)
    cancellation = Cancellation(allow_null=True, default=None)
    appeal = Appeal(allow_null=True, default=None, source="case.appeal")

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_deadline_at(self, reservation: Reservation) -> str:
        """The deadline on the wall's clock."""
        at = moment(reservation.deadline_ms + reservation.sale.paused_ms)
        return timezone.localtime(at).isoformat()

    @extend_schema_field(serializers.ChoiceField([state.value for state in CaseState], allow_null=True))
    def get_review(self, reservation: Reservation) -> str | None:
        """Where its review stands, null when there is none."""
        case = getattr(reservation, "case", None)
        return case.state if case else None


class Filters(serializers.Serializer[Any]):
    """Which reservations are wanted."""

    sale = serializers.CharField(source="sale__code", required=False, help_text="The code of a sale.")
    state = serializers.ChoiceField(STATES, required=False)


class Contact(serializers.Serializer[Any]):
    """Where the goods and the letters go."""

    name = Text(max_length=CHARS_MAX)
    address = Text(max_length=ADDRESS_CHARS_MAX)
    phone = Text(max_length=VALUE_CHARS_MAX)
    email = Text(max_length=VALUE_CHARS_MAX)


class Confirm(serializers.Serializer[Any]):
    """The order becomes firm: who buys, what it costs, how it is paid."""

    identity = serializers.DictField(
        child=Text(max_length=ADDRESS_CHARS_MAX),
        help_text=f"The values that entered the line, and others known now. Axes: {', '.join(Axis)}.",
    )
    contact = Contact()
    language = serializers.ChoiceField(["id", "en"], default="id", help_text="Of the letters to the buyer.")
    price = WholeNumber(min_value=0, help_text="What the buyer was shown, in all.")
    method = serializers.ChoiceField(METHODS, help_text="The buyer's explicit choice.")
    instrument = Text(
        max_length=CHARS_MAX,
        help_text="The payment provider's token; the demo declines demo-declined, and demo-later is paid by call-back.",
    )

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The wish as the life takes it."""
        buyer = Buyer(asked["identity"], asked["contact"], asked["language"])
        return {"buyer": buyer, "payer": Payer(asked["price"], asked["method"], asked["instrument"])}

    def validate_identity(self, values: dict[str, str]) -> dict[Axis, str]:
        """The values by axis."""
        try:
            return {Axis(axis): value for axis, value in values.items()}
        except ValueError as error:
            raise serializers.ValidationError(f"The axes are {', '.join(Axis)}.") from error


class Cancel(serializers.Serializer[Any]):
    """A channel cancels on its own for buyer_request and payment_failed only."""

    reason = serializers.ChoiceField([code.value for code in ReasonCode])
