"""A partner's shoppers before they enter: may this person still buy, and who may enter a line with a list."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.gate import bridge
from flashsale.life import places
from flashsale.life.eligibility import ABOUT_THE_PERSON, eligibility
from flashsale.life.enter import digest_identity
from flashsale.life.hand_in_list import PEOPLE_MAX, hand_in_list
from flashsale.rules import wall_clock
from flashsale.rules.identity import VALUE_CHARS_MAX, Axis
from flashsale.rules.key_rights import KeyScope
from flashsale.rules.outcomes import Outcome
from flashsale.web import limits
from flashsale.web.api.access import PartnerView, StrictJSON
from flashsale.web.api.idempotency import run_once
from flashsale.web.api.reservations import KEY
from flashsale.web.api.serializers import IdentityField, Text
from flashsale.web.api.strict import StrictSerializer, refuse_no_codes
from flashsale.web.hot.bundle import BYTES_MAX
from flashsale.web.hot.partners import Partner

CODE_CHARS_MAX = 40
TOKEN_CHARS_MAX = 512


@extend_schema_serializer(
    component_name="EligibilityRequest",
    examples=[
        OpenApiExample(
            "question",
            {
                "sale": "poco-m3-26-jan",
                "line": "lazada",
                "identity": {"phone": "0812-3456-7890", "email": "budi@example.com"},
            },
            request_only=True,
        )
    ],
)
class EligibilitySerializer(StrictSerializer):
    """A question about one person."""

    sale = Text(max_length=CODE_CHARS_MAX, help_text="The code of the sale.")
    line = Text(max_length=CODE_CHARS_MAX, help_text="The code of a line of your channel.")
    identity = IdentityField(help_text="The same values as for `enter`.")
    carried = Text(
        max_length=TOKEN_CHARS_MAX, required=False, default="", help_text="The place in the earlier line, as for enter."
    )


@extend_schema_serializer(
    component_name="Eligibility",
    examples=[
        OpenApiExample(
            "may buy", {"eligible": True, "reason": None, "now": "2026-11-22T22:32:06.901204+07:00"}, response_only=True
        ),
        OpenApiExample(
            "limit used up",
            {"eligible": False, "reason": "limit_reached", "now": "2026-11-22T22:32:06.901204+07:00"},
            response_only=True,
        ),
    ],
)
class EligibilityAnswerSerializer(serializers.Serializer[Any]):
    """Whether the person could enter the line and reserve one unit now. Nothing is kept for the person."""

    eligible = serializers.BooleanField()
    reason = serializers.ChoiceField(
        sorted(word.value for word in ABOUT_THE_PERSON),
        allow_null=True,
        help_text="The `code` with which `enter` or `reserve` would refuse the person.",
    )
    now = serializers.DateTimeField(help_text="When this was true.")


class EligibilityAnswer(PartnerView):
    """Whether a person may still buy."""

    scope = KeyScope.ENTER
    form = EligibilitySerializer
    limit = limits.ELIGIBILITY

    @extend_schema(
        operation_id="askEligibility",
        tags=["sales"],
        request=EligibilitySerializer,
        responses=EligibilityAnswerSerializer,
    )
    def post(self, request: Request) -> Response:  # noqa: ARG002 - the framework's signature
        """May this shopper still buy? Changes nothing, and says no more than `enter` and `reserve` would say.

        Only while people may enter the line. It has a limit of its own: ask when a shopper opens your page of the
        sale, and never for a whole crowd.
        """
        reason = bridge.run(_reason(self.partner, **self.values))
        return Response({"eligible": reason is None, "reason": reason, "now": timezone.localtime(wall_clock.now())})


async def _reason(partner: Partner, *, sale: str, line: str, identity: dict[Axis, str], carried: str) -> Outcome | None:
    refuse_no_codes(sale)
    card = await places.sale_card(code=sale)
    found = places.line(card=card, code=line)
    channel = partner.channel_in(card, found)
    digests = digest_identity(card=card, values=identity, channel=channel.id)
    return await eligibility(
        card=card, line=found, channel=channel, digests=digests, carried=carried if found.carries else ""
    )


class ManyPeopleJSON(StrictJSON):
    """As many bytes as a bundle of the hot door."""

    bytes_max = BYTES_MAX


@extend_schema_serializer(
    component_name="ListedPeople",
    examples=[
        OpenApiExample("people", {"axis": "phone", "people": ["0812-3456-7890", "+62 811 2345 678"]}, request_only=True)
    ],
)
class ListedPeopleSerializer(StrictSerializer):
    """People for the list of a line."""

    axis = serializers.ChoiceField([axis.value for axis in Axis], help_text="By what you name them.")
    people = serializers.ListField(
        child=Text(max_length=VALUE_CHARS_MAX),
        min_length=1,
        max_length=PEOPLE_MAX,
        help_text="One value for each person. We keep only their digests.",
    )


@extend_schema_serializer(
    component_name="List",
    examples=[OpenApiExample("added", {"line": "members", "added": 2, "listed": 1402}, response_only=True)],
)
class ListSerializer(serializers.Serializer[Any]):
    """The list of a line. It can be added to and not read."""

    line = serializers.CharField()
    added = serializers.IntegerField(help_text="How many of these people are new on the list.")
    listed = serializers.IntegerField(help_text="How many entries the list has now.")


class ListedPeople(PartnerView):
    """The list of a line that only this channel serves."""

    form = ListedPeopleSerializer
    parser_classes = [ManyPeopleJSON]

    @extend_schema(operation_id="putOnList", parameters=[KEY], request=ListedPeopleSerializer, responses=ListSerializer)
    def post(self, request: Request, sale: str, line: str) -> Response:
        """Puts people on the list of your own line, before the sale is published. All of them are added, or none."""
        refuse_no_codes(sale, line)

        def act(_call: int) -> dict[str, Any]:
            found = hand_in_list(
                sale=sale,
                line=line,
                channel=self.partner.channel,
                axis=Axis(self.values["axis"]),
                people=self.values["people"],
            )
            return {"line": line, **found._asdict()}

        return run_once(request, self.partner, act)
