"""The fairness report of a sale that is over, field by field."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life.fairness_report import FRESH, report
from flashsale.web.api.access import PublicView, fresh_for
from flashsale.web.api.catalogue import published_sale
from flashsale.web.api.serializers import RulesFixed


class Draw(serializers.Serializer[Any]):
    """Whether the secret is the one that the sale committed itself to."""

    drawn = serializers.BooleanField()
    verified = serializers.BooleanField()
    commitment = serializers.CharField(help_text="Hex; the transcript has the secret.")


class Order(serializers.Serializer[Any]):
    """Whether numbers follow from the draw, and nobody reserved before they were called."""

    kept = serializers.BooleanField()
    reservations = serializers.IntegerField(help_text="How many were checked.")
    wrong = serializers.IntegerField(help_text="Numbers that do not follow, or were never called.")
    before_call = serializers.IntegerField(
        allow_null=True, help_text="Reservations made before their number was called; null when calls are not known."
    )


class Units(serializers.Serializer[Any]):
    """new + moved_in - moved_out = free + held + sold + returned."""

    new = serializers.IntegerField()
    moved_in = serializers.IntegerField()
    moved_out = serializers.IntegerField()
    free = serializers.IntegerField()
    held = serializers.IntegerField()
    sold = serializers.IntegerField()
    returned = serializers.IntegerField(help_text="Given back by cancellations, not moved on yet.")


class LineReport(serializers.Serializer[Any]):
    """A line of people and its units."""

    line = serializers.CharField()
    name = serializers.CharField()
    by_our_line = serializers.BooleanField(help_text="False where a partner's own door sold them.")
    cohort = serializers.IntegerField(allow_null=True, help_text="How many were drawn together.")
    entered = serializers.IntegerField()
    called = serializers.IntegerField()
    no_shows = serializers.IntegerField(
        allow_null=True, help_text="Called, stayed in the line, did not reserve; null when it is not known."
    )
    calls = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2),
        help_text="How calling went on: seconds after the opening, last number called.",
    )
    units = Units()


class ChannelReport(serializers.Serializer[Any]):
    """Units by channel."""

    channel = serializers.CharField()
    name = serializers.CharField()
    bought = serializers.IntegerField()
    kept = serializers.IntegerField(help_text="Those of them that no cancellation has taken back.")


class Endings(serializers.Serializer[Any]):
    """Reservations by what became of them."""

    held = serializers.IntegerField()
    confirmed = serializers.IntegerField()
    expired = serializers.IntegerField()
    released = serializers.IntegerField()
    cancelled = serializers.IntegerField()


class RefusalCount(serializers.Serializer[Any]):
    """Refusals at the door: tries, not people."""

    verb = serializers.CharField()
    reason = serializers.CharField(help_text="The code of the problem document.")
    times = serializers.IntegerField()


class Spread(serializers.Serializer[Any]):
    """How units were spread over those who hold any; Gini is 0 when all hold the same."""

    holders = serializers.IntegerField()
    largest = serializers.IntegerField()
    gini = serializers.FloatField()


class Concentration(serializers.Serializer[Any]):
    """The spread by one axis, such as phone or delivery address."""

    axis = serializers.CharField()
    limited = serializers.BooleanField(help_text="Whether the limit held on it before the sale.")
    bought = Spread()
    kept = Spread()


class ReasonCount(serializers.Serializer[Any]):
    """Cancelled orders under a reason; "other" stands for all with fewer than five."""

    reason = serializers.CharField()
    orders = serializers.IntegerField()


class OutcomeCount(serializers.Serializer[Any]):
    """Appeals by what became of them; "other" stands for all with fewer than five."""

    outcome = serializers.CharField()
    orders = serializers.IntegerField()


class RefundCount(serializers.Serializer[Any]):
    """Payments of cancelled orders by where they stand."""

    state = serializers.CharField()
    orders = serializers.IntegerField()


class Appeals(serializers.Serializer[Any]):
    """Objections to cancellations."""

    received = serializers.IntegerField()
    outcomes = OutcomeCount(many=True)


class RuleRecord(serializers.Serializer[Any]):
    """A reason or a rule that pointed at orders, and how often its cancellations were overturned by an appeal."""

    rule = serializers.CharField()
    cancelled = serializers.IntegerField()
    appealed = serializers.IntegerField()
    upheld = serializers.IntegerField()
    overturned = serializers.IntegerField()
    precision = serializers.FloatField(help_text="Of the cancelled orders, the share that was not overturned.")


class Cancellations(serializers.Serializer[Any]):
    """Confirmed orders that ended."""

    total = serializers.IntegerField()
    reasons = ReasonCount(many=True)
    appeals = Appeals()
    ledger = RuleRecord(many=True)
    refunds = RefundCount(many=True)


class MovedTo(serializers.Serializer[Any]):
    """Units that went to one follow-up sale, and the state that each is in now."""

    sale = serializers.CharField()
    name = serializers.CharField()
    units = serializers.IntegerField()
    states = serializers.DictField(child=serializers.IntegerField())


class Returned(serializers.Serializer[Any]):
    """Units that cancellations of this sale gave back."""

    units = serializers.IntegerField()
    restored = serializers.IntegerField(help_text="Given back to their buyers by an appeal.")
    resting = serializers.IntegerField(help_text="Still in this sale's pool.")
    moved = MovedTo(many=True)
    came_in = serializers.IntegerField(help_text="Units of this sale that earlier sales' cancellations gave back.")


class Trail(serializers.Serializer[Any]):
    """The end of the audit trail when the report was made: nobody can rewrite what lies before it unseen."""

    records = serializers.IntegerField()
    head = serializers.CharField(help_text="Hex.")


@extend_schema_serializer(component_name="FairnessReport")
class FairnessShape(serializers.Serializer[Any]):
    """What everybody may know of a sale that is over. Figures from the books; no personal data."""

    version = serializers.IntegerField()
    sale = serializers.CharField()
    name = serializers.CharField()
    campaign = serializers.CharField()
    phase = serializers.CharField()
    opened_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField()
    made_at = serializers.DateTimeField(help_text="The report is made anew while reviews and appeals go on.")
    limit = serializers.IntegerField()
    rebuilds = serializers.IntegerField(help_text="How often the gate lost its memory; refusals before it are lost.")
    rules = RulesFixed(allow_null=True)
    draw = Draw()
    order = Order()
    lines = LineReport(many=True)
    channels = ChannelReport(many=True)
    reservations = Endings()
    refused = RefusalCount(many=True)
    concentration = Concentration(many=True)
    cancellations = Cancellations()
    returned = Returned()
    trail = Trail()


class FairnessOf(PublicView):
    """How a sale went."""

    @extend_schema(operation_id="readFairness", responses=FairnessShape)
    def get(self, request: Request, code: str) -> Response:  # noqa: ARG002 - the framework's signature
        """The fairness report, once the sale is over."""
        return fresh_for(Response(report(sale=published_sale(code))), int(FRESH.total_seconds()))
