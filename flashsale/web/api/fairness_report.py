"""The fairness report of a sale that is over: serializers and view."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life.fairness_report import FRESH, report
from flashsale.web.api.access import PublicView, cacheable
from flashsale.web.api.catalogue import published_sale
from flashsale.web.api.sale_serializers import RuleSetReferenceSerializer


class DrawSerializer(serializers.Serializer[Any]):
    """Whether the secret is the one whose hash the sale published before."""

    drawn = serializers.BooleanField()
    verified = serializers.BooleanField()
    commitment = serializers.CharField(help_text="Hex. The secret is in the transcript.")


class OrderSerializer(serializers.Serializer[Any]):
    """Whether numbers follow from the draw, and each reservation was made after its number was called."""

    kept = serializers.BooleanField()
    reservations = serializers.IntegerField(help_text="How many were checked.")
    wrong = serializers.IntegerField(help_text="Numbers that do not follow from the draw, or were never called.")
    before_call = serializers.IntegerField(
        allow_null=True, help_text="Reservations made before their number was called; null when calls are not known."
    )


class UnitsSerializer(serializers.Serializer[Any]):
    """new + moved_in - moved_out = free + held + sold + returned."""

    new = serializers.IntegerField()
    moved_in = serializers.IntegerField()
    moved_out = serializers.IntegerField()
    free = serializers.IntegerField()
    held = serializers.IntegerField()
    sold = serializers.IntegerField()
    returned = serializers.IntegerField(help_text="Given back by cancellations, not moved to another line yet.")


class LineReportSerializer(serializers.Serializer[Any]):
    """A line and its units."""

    line = serializers.CharField()
    name = serializers.CharField()
    by_our_line = serializers.BooleanField(help_text="False if a partner sold the units by its own line.")
    cohort = serializers.IntegerField(allow_null=True, help_text="How many places took part in the draw.")
    entered = serializers.IntegerField()
    called = serializers.IntegerField()
    no_shows = serializers.IntegerField(
        allow_null=True, help_text="Called, did not leave the line, did not reserve; null if calls are not known."
    )
    calls = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(), min_length=2, max_length=2),
        help_text="How calling went on: pairs of seconds after the opening and last number called.",
    )
    units = UnitsSerializer()


class HeadlineSerializer(serializers.Serializer[Any]):
    """The sale in one sentence: so many of so many people bought so many of so many units, and how fast."""

    people = serializers.IntegerField(help_text="People who entered our lines.")
    units = serializers.IntegerField(help_text="Units that were for sale, with those that moved in.")
    bought = serializers.IntegerField(help_text="Units that were paid, also if the order was cancelled later.")
    buyers = serializers.IntegerField(help_text="Different values of the first axis whose limit was enforced.")
    most = serializers.IntegerField(help_text="The most units of one buyer.")
    sold_s = serializers.IntegerField(
        allow_null=True, help_text="Seconds from the opening until the last unit was paid; null if none was."
    )


class OverTimeSerializer(serializers.Serializer[Any]):
    """Sums until each time after the opening; all lists have the same length."""

    at_s = serializers.ListField(child=serializers.IntegerField(), help_text="Seconds after the opening.")
    called = serializers.ListField(child=serializers.IntegerField(), help_text="Numbers called, over all our lines.")
    reserved = serializers.ListField(
        child=serializers.IntegerField(), help_text="Units reserved; only those that were paid afterwards."
    )
    bought = serializers.ListField(child=serializers.IntegerField(), help_text="Units paid.")
    sold_s = serializers.IntegerField(allow_null=True, help_text="When the last unit was paid; null if none was.")


class PartSerializer(serializers.Serializer[Any]):
    """People who entered in a part of the time, and the units that they bought."""

    part = serializers.CharField(
        help_text='"1" to "4": the quarters of those who took part in the draw, by the order of entering. "later": who '
        "came after the draw. A part with fewer than five people is left out."
    )
    people = serializers.IntegerField()
    bought = serializers.IntegerField()


class MoreThanOneSerializer(serializers.Serializer[Any]):
    """How many phones, addresses and so on had more than one unit that was kept; null for one to four of them."""

    axis = serializers.CharField()
    holders = serializers.IntegerField(allow_null=True)
    units = serializers.IntegerField(allow_null=True, help_text="The units of these holders.")
    of = serializers.IntegerField(help_text="All units that were kept.")


class ChannelReportSerializer(serializers.Serializer[Any]):
    """Units by channel."""

    channel = serializers.CharField()
    name = serializers.CharField()
    bought = serializers.IntegerField()
    kept = serializers.IntegerField(help_text="Bought units that were not cancelled.")


class EndingsSerializer(serializers.Serializer[Any]):
    """Reservations by state."""

    held = serializers.IntegerField()
    confirmed = serializers.IntegerField()
    expired = serializers.IntegerField()
    released = serializers.IntegerField()
    cancelled = serializers.IntegerField()


class RefusalCountSerializer(serializers.Serializer[Any]):
    """Refusals by verb and reason. Counts requests, not people."""

    verb = serializers.CharField()
    reason = serializers.CharField(help_text="The code of the problem document.")
    times = serializers.IntegerField()


class SpreadSerializer(serializers.Serializer[Any]):
    """How units are spread over their holders; Gini is 0 if all holders have the same number."""

    holders = serializers.IntegerField()
    largest = serializers.IntegerField()
    gini = serializers.FloatField()


class ConcentrationSerializer(serializers.Serializer[Any]):
    """The spread by one axis, such as phone or delivery address."""

    axis = serializers.CharField()
    limited = serializers.BooleanField(help_text="Whether the limit per person counted this axis.")
    bought = SpreadSerializer()
    kept = SpreadSerializer()


class ReasonCountSerializer(serializers.Serializer[Any]):
    """Cancelled orders by reason; "other" is the sum of all reasons with fewer than five."""

    reason = serializers.CharField()
    orders = serializers.IntegerField()


class OutcomeCountSerializer(serializers.Serializer[Any]):
    """Appeals by outcome; "other" is the sum of all outcomes with fewer than five."""

    outcome = serializers.CharField()
    orders = serializers.IntegerField()


class RefundCountSerializer(serializers.Serializer[Any]):
    """Payments of cancelled orders by state."""

    state = serializers.CharField()
    orders = serializers.IntegerField()


class AppealsSerializer(serializers.Serializer[Any]):
    """Appeals against cancellations."""

    received = serializers.IntegerField()
    outcomes = OutcomeCountSerializer(many=True)


class RuleRecordSerializer(serializers.Serializer[Any]):
    """A reason or a rule that found orders, and how often an appeal overturned its cancellations."""

    rule = serializers.CharField()
    cancelled = serializers.IntegerField()
    appealed = serializers.IntegerField()
    upheld = serializers.IntegerField()
    overturned = serializers.IntegerField()
    decided = serializers.IntegerField(
        required=False,
        help_text="Cancellations that are final: an appeal is decided, or no appeal is possible any more. Reports of "
        "earlier releases do not have it.",
    )
    precision = serializers.FloatField(
        allow_null=True,
        help_text="The share of the final cancellations that was not overturned; null before the first is final.",
    )


class CancellationsSerializer(serializers.Serializer[Any]):
    """Orders that were cancelled after they were confirmed."""

    total = serializers.IntegerField()
    reasons = ReasonCountSerializer(many=True)
    appeals = AppealsSerializer()
    ledger = RuleRecordSerializer(many=True)
    refunds = RefundCountSerializer(many=True)


class MovedToSerializer(serializers.Serializer[Any]):
    """Units that moved to one follow-up sale, by their state now."""

    sale = serializers.CharField()
    name = serializers.CharField()
    units = serializers.IntegerField()
    states = serializers.DictField(child=serializers.IntegerField())


class ReturnedSerializer(serializers.Serializer[Any]):
    """Units that cancellations of this sale gave back."""

    to_line = serializers.IntegerField(
        help_text="Went back to their line, because their buyers cancelled while the sale was running."
    )
    units = serializers.IntegerField(help_text="Came into the pool of this sale.")
    restored = serializers.IntegerField(help_text="Given back to their buyers by an appeal.")
    resting = serializers.IntegerField(help_text="Still in this sale's pool.")
    moved = MovedToSerializer(many=True)
    came_in = serializers.IntegerField(help_text="Units that cancellations of earlier sales brought to this sale.")


class TrailSerializer(serializers.Serializer[Any]):
    """The end of the audit trail when the report was made. A later change of earlier records would change it."""

    records = serializers.IntegerField()
    head = serializers.CharField(help_text="Hex.")


@extend_schema_serializer(component_name="FairnessReport")
class FairnessReportSerializer(serializers.Serializer[Any]):
    """The public facts about a sale that is over. Figures from PostgreSQL (the books), without personal data."""

    version = serializers.IntegerField()
    sale = serializers.CharField()
    name = serializers.CharField()
    campaign = serializers.CharField()
    phase = serializers.CharField()
    opened_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField()
    made_at = serializers.DateTimeField(help_text="The report is made again while reviews and appeals go on.")
    limit = serializers.IntegerField()
    rebuilds = serializers.IntegerField(
        help_text="How often Redis (the gate) was rebuilt after a loss; refusals before that are not counted."
    )
    rules = RuleSetReferenceSerializer(allow_null=True)
    draw = DrawSerializer()
    order = OrderSerializer()
    headline = HeadlineSerializer(allow_null=True, help_text="null in reports that were made before it was counted.")
    over_time = OverTimeSerializer()
    by_entering = PartSerializer(many=True)
    lines = LineReportSerializer(many=True)
    channels = ChannelReportSerializer(many=True)
    reservations = EndingsSerializer()
    refused = RefusalCountSerializer(many=True)
    concentration = ConcentrationSerializer(many=True)
    more_than_one = MoreThanOneSerializer(many=True)
    cancellations = CancellationsSerializer()
    returned = ReturnedSerializer()
    trail = TrailSerializer()


class SaleFairnessReport(PublicView):
    """The fairness report of a sale."""

    @extend_schema(operation_id="readFairness", responses=FairnessReportSerializer)
    def get(self, request: Request, code: str) -> Response:  # noqa: ARG002 - the framework's signature
        """The fairness report; 404 until the sale is over."""
        return cacheable(Response(report(sale=published_sale(code))), int(FRESH.total_seconds()))
