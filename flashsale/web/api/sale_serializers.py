"""Serializers of the catalogue: sales with their requirements, rule sets, transcripts."""

from typing import Any

from django.utils import timezone
from django.utils.functional import cached_property
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from flashsale.life.draw import BEACON_WAIT_MS
from flashsale.models import Allocation, Entries, Sale
from flashsale.models.sale import moment
from flashsale.providers import beacon
from flashsale.rules import wall_clock
from flashsale.rules.entries import TILE
from flashsale.rules.states import AllocationMode, Phase
from flashsale.web.api import requirements

STATES_HELP = 'How many indexes had each state at the freeze: "0" entered, "1" left or voided, "2" never given.'


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


class DrawKindSerializer(serializers.Serializer[Any]):
    """How a sale draws its numbers, declared at its publication."""

    version = serializers.IntegerField(source="draw_version")
    beacon = serializers.CharField(source="beacon_chain", help_text="The hash of the chain of drand; empty: none.")
    freezes_at = serializers.DateTimeField(help_text="Who enters later stands behind, in the order of arrival.")


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
        allow_null=True,
        help_text="The line of an earlier sale whose order it carries over.",
    )
    successor = serializers.CharField(
        source="successor.code", allow_null=True, help_text="The line that gets the unclaimed units."
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
    message = serializers.CharField(
        help_text="A text to shoppers. Two lines: the same text in Indonesian and in English."
    )
    commitment = serializers.CharField(help_text="SHA-256 of the draw's secret, hex; public since publication.")
    drawn = serializers.SerializerMethodField(help_text="Whether the transcript can be read.")
    draw = serializers.SerializerMethodField(help_text="How the numbers are drawn. More at /v1/sales/{sale}/draw.")
    rules = serializers.CharField(source="rules.hash", help_text="Hash of the rule set that reviews the orders.")
    offers = OfferSerializer(many=True)
    lines = LineSerializer(many=True, source="allocations")
    now = serializers.SerializerMethodField(help_text="When this document was made. All times are on this clock.")
    line_now = serializers.SerializerMethodField(
        help_text="The same moment on the line's clock, in ms since 1970. A time of a line is now + (time - line_now)."
    )
    money = serializers.SerializerMethodField()
    axes = requirements.AxisSerializer(many=True, source="campaign.axes")
    limits = serializers.SerializerMethodField()
    windows = serializers.SerializerMethodField()
    entries_max = serializers.IntegerField(source="max_entries", help_text="Places in each line, at most.")
    quotas = serializers.SerializerMethodField(help_text="How often the API may be called.")
    channel = serializers.SerializerMethodField(help_text="Only where one sale is read with a key; else null.")

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_now(self, _sale: Sale) -> str:
        """The wall clock, the same for all members."""
        return timezone.localtime(moment(self._wall_ms)).isoformat()

    def get_line_now(self, sale: Sale) -> int:
        """The line's clock at the same moment."""
        return sale.line_ms(self._wall_ms)

    @cached_property
    def _wall_ms(self) -> int:
        return wall_clock.now_ms()

    @extend_schema_field(requirements.MoneySerializer)
    def get_money(self, sale: Sale) -> dict[str, Any]:
        """The unit of every amount."""
        return {"currency": sale.campaign.currency, "decimals": requirements.DECIMALS}

    @extend_schema_field(requirements.LimitsSerializer)
    def get_limits(self, sale: Sale) -> dict[str, int]:
        """How much one person may buy."""
        return requirements.limits_of(sale)

    @extend_schema_field(requirements.WindowsSerializer)
    def get_windows(self, sale: Sale) -> dict[str, int]:
        """How long a person has."""
        return requirements.windows_of(sale)

    @extend_schema_field(requirements.QuotaSerializer(many=True))
    def get_quotas(self, _sale: Sale) -> Any:
        """How often the API may be called."""
        return requirements.quotas_of(self.context.get("partner"))

    @extend_schema_field(requirements.ChannelSerializer(allow_null=True))
    def get_channel(self, _sale: Sale) -> Any:
        """What the sale means for the caller's channel."""
        return requirements.channel_document(self.context.get("requirements"))

    @extend_schema_field(serializers.ChoiceField([phase.value for phase in Phase if phase is not Phase.DRAFT]))
    def get_phase(self, sale: Sale) -> str:
        """The phase of the sale now."""
        return sale.phase(wall_clock.now_ms()).value

    def get_drawn(self, sale: Sale) -> bool:
        """Whether the lines are drawn, so that the secret is public."""
        return sale.frozen_at is not None

    @extend_schema_field(DrawKindSerializer)
    def get_draw(self, sale: Sale) -> Any:
        """The kind of the draw."""
        return DrawKindSerializer(sale).data


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
    root = serializers.CharField(  # type: ignore[assignment]
        required=False, help_text="Version 2: the root of the entries, hex."
    )
    states = serializers.DictField(child=serializers.IntegerField(), required=False, help_text=STATES_HELP)


class TranscriptSerializer(serializers.Serializer[Any]):
    """All that anyone needs to check the draw; bytes as lower-case hex. Version 1 or 2."""

    version = serializers.IntegerField()
    sale = serializers.CharField()
    commitment = serializers.CharField()
    secret = serializers.CharField()
    frozen_at = serializers.IntegerField(
        required=False, help_text="Version 2: when the entries were frozen, in s since 1970. The round follows from it."
    )
    beacon = serializers.SerializerMethodField(
        help_text="Version 1: hex, and empty. Version 2: a round of drand, or null for a sale without it."
    )
    lines = serializers.DictField(child=DrawnLineSerializer())

    @extend_schema_field(
        {
            "oneOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "chain": {"type": "string", "description": "The hash of the chain of drand."},
                        "round": {"type": "integer"},
                        "signature": {"type": "string"},
                        "randomness": {"type": "string", "description": "SHA-256 of the signature."},
                    },
                    "required": ["chain", "round", "signature", "randomness"],
                },
                {"type": "null"},
            ]
        }
    )
    def get_beacon(self, transcript: Any) -> Any:
        """As the version has it."""
        return transcript["beacon"]


class DrawBeaconSerializer(serializers.Serializer[Any]):
    """The round of drand that a sale has declared, or will take: the first one 30 s or more after its freeze."""

    chain = serializers.CharField(source="beacon_chain", help_text="The hash of the chain.")
    round = serializers.IntegerField(source="beacon_round", allow_null=True, help_text="null until the freeze.")
    round_at = serializers.SerializerMethodField(help_text="When the round comes; null until the freeze.")
    signature = serializers.SerializerMethodField(help_text="Hex; null until the draw.")
    randomness = serializers.SerializerMethodField(help_text="Hex; null until the draw.")
    waits_at_most_s = serializers.SerializerMethodField(
        help_text="So long after the opening, or after the round if that comes later, a sale without its round is "
        "called off. Nothing else replaces the round."
    )

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_round_at(self, sale: Sale) -> str | None:
        """The time of the round."""
        known = beacon.chain_of(sale.beacon_chain)
        if sale.beacon_round is None or known is None:
            return None
        return timezone.localtime(moment(1000 * known.time_of(sale.beacon_round))).isoformat()

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_signature(self, sale: Sale) -> str | None:
        """The signature of the round."""
        return bytes(sale.beacon_signature).hex() if sale.beacon_signature else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_randomness(self, sale: Sale) -> str | None:
        """The randomness of the round."""
        return sale.randomness.hex() or None

    @extend_schema_field(OpenApiTypes.INT)
    def get_waits_at_most_s(self, _sale: Sale) -> int:
        """The published rule that ends the waiting."""
        return BEACON_WAIT_MS // 1000


class DrawEntriesSerializer(serializers.Serializer[Any]):
    """What a line has committed to at its freeze."""

    cohort = serializers.IntegerField()
    root = serializers.CharField(  # type: ignore[assignment]
        help_text="The head of the tree of RFC 9162 over the entries, hex."
    )
    states = serializers.SerializerMethodField(help_text=STATES_HELP)
    tiles = serializers.SerializerMethodField(
        help_text="How many tiles of 1,024 leaves there are at /v1/sales/{sale}/lines/{line}/entries/{tile}, from 0."
    )

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_states(self, row: Entries) -> dict[str, int]:
        """The counts by state."""
        return {str(state): count for state, count in enumerate(row.states)}

    @extend_schema_field(OpenApiTypes.INT)
    def get_tiles(self, row: Entries) -> int:
        """How many tiles there are."""
        return -(-row.cohort // TILE)


class SaleDrawSerializer(serializers.Serializer[Any]):
    """What is public of a draw now. Version 2 publishes the root of the entries before any number is known."""

    version = serializers.IntegerField(source="draw_version")
    sale = serializers.CharField(source="code")
    commitment = serializers.CharField()
    freezes_at = serializers.DateTimeField(help_text="Who enters later stands behind, in the order of arrival.")
    frozen_at = serializers.SerializerMethodField(
        help_text="Version 2: when the entries were frozen, in s since 1970; null before."
    )
    drawn = serializers.SerializerMethodField(help_text="Whether the transcript can be read.")
    beacon = serializers.SerializerMethodField(help_text="null: the sale has declared none.")
    lines = serializers.SerializerMethodField(help_text="By the code of the line; empty until the entries are frozen.")

    @extend_schema_field(serializers.IntegerField(allow_null=True))
    def get_frozen_at(self, sale: Sale) -> int | None:
        """When the lines committed to their entries."""
        return int(sale.entries_frozen_at.timestamp()) if sale.entries_frozen_at else None

    def get_drawn(self, sale: Sale) -> bool:
        """Whether numbers are known."""
        return sale.frozen_at is not None

    @extend_schema_field(DrawBeaconSerializer(allow_null=True))
    def get_beacon(self, sale: Sale) -> Any:
        """The beacon that was declared."""
        return DrawBeaconSerializer(sale).data if sale.beacon_chain else None

    @extend_schema_field(serializers.DictField(child=DrawEntriesSerializer()))
    def get_lines(self, _sale: Sale) -> dict[str, Any]:
        """The commitment of each line."""
        return {row.allocation.code: DrawEntriesSerializer(row).data for row in self.context["entries"]}
