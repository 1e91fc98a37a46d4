"""The feed of events: what has happened in the calling channel, in order, for 30 days."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life.events import read_events
from flashsale.rules.events import EventType
from flashsale.web.api.access import PartnerView
from flashsale.web.api.strict import Digits, StrictSerializer

LIMIT, LIMIT_MAX = 100, 1000


@extend_schema_serializer(component_name="Event")
class EventSerializer(serializers.Serializer[Any]):
    """Something that happened."""

    id = serializers.CharField(help_text="The event has it for ever. Ignore an event whose id you have had before.")
    type = serializers.ChoiceField([type_.value for type_ in EventType])
    at = serializers.DateTimeField()
    sale = serializers.CharField(help_text="The code of the sale.")
    line = serializers.CharField(allow_null=True, help_text="The code of the line; null for an event of a sale.")
    reservation = serializers.UUIDField(
        allow_null=True, help_text="The reservation, also of a payment, a refund, a case and an appeal; else null."
    )
    sequence = serializers.IntegerField(
        help_text="Counts the events of a reservation from 1, and those of a sale. A greater one is newer."
    )
    data = serializers.DictField(  # type: ignore[assignment] # a field of this name, as webhooks have it
        help_text="Depends on the type. New members may come at any time."
    )


@extend_schema_serializer(component_name="EventPage")
class EventPageSerializer(serializers.Serializer[Any]):
    """Events, the oldest first."""

    results = EventSerializer(many=True)
    after = serializers.CharField(help_text="Send it as `after` to read on; also when there are no results.")
    more = serializers.BooleanField(help_text="Whether there are more events now.")


class FeedSerializer(StrictSerializer):
    """Query parameters of the feed."""

    after = serializers.CharField(
        required=False, max_length=40, help_text="`after` of your last answer. Without it: from the oldest event."
    )
    limit = Digits(required=False, min_value=1, max_value=LIMIT_MAX, help_text=f"Events in an answer; {LIMIT}.")


class EventList(PartnerView):
    """The events of the channel."""

    query = FeedSerializer
    sandbox_verb = "events"

    @extend_schema(operation_id="listEvents", parameters=[FeedSerializer], responses=EventPageSerializer)
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework's signature
        """What has happened in your channel and in its sales in the last 30 days, the oldest first."""
        page = read_events(
            channel=self.partner.channel,
            after=self.parameters.get("after", ""),
            limit=self.parameters.get("limit", LIMIT),
        )
        return Response(EventPageSerializer(page._asdict() | {"results": page.events}).data)

    def sandbox_facts(self, data: dict[str, Any]) -> dict[str, Any]:
        """Whether it read on, and whether there is more."""
        return {"after": "after" in self.parameters, "more": data["more"]}
