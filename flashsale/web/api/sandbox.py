"""The sandbox of partners: test sales on demand, the list of magic values, the test bank, and the checklist."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life import inbox, sandbox, sandbox_calls
from flashsale.models import Sale
from flashsale.providers import payments
from flashsale.rules.conformance import CHECKS, judge
from flashsale.rules.key_rights import KeyScope
from flashsale.rules.magic import IDENTITIES, INSTRUMENTS, TEXT_PREFIX, Magic
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import Charge, ReservationState
from flashsale.web.api.access import PartnerView, PublicView, cacheable
from flashsale.web.api.idempotency import run_once
from flashsale.web.api.serializers import WholeNumber
from flashsale.web.api.strict import StrictSerializer

KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True)
REFERENCE = OpenApiParameter(
    "reference", str, OpenApiParameter.PATH, description="`reference` of `payment` in the reservation."
)
MAGIC_FRESH_S = 300


class SandboxView(PartnerView):
    """Base of the views that need a test key, of whatever scope."""

    scope = KeyScope.READ

    def check_permissions(self, request: Request) -> None:
        """Refuses NOT_FOUND for a live key, because it has no sandbox."""
        super().check_permissions(request)
        if not self.partner.sandbox:
            raise Refused(Outcome.NOT_FOUND, "This needs a test key: fs_test_…")


@extend_schema_serializer(
    component_name="NewTestSale",
    examples=[OpenApiExample("short", {"units": 5, "claim_s": 60, "hold_s": 60, "lobby_s": 2}, request_only=True)],
)
class NewSaleSerializer(StrictSerializer):
    """The sale that you want. Every member has a default."""

    units = WholeNumber(default=5, min_value=1, max_value=50, help_text="Of each of the two products.")
    claim_s = WholeNumber(default=60, min_value=1, max_value=300, help_text="The claim window, in seconds.")
    hold_s = WholeNumber(default=60, min_value=2, max_value=600, help_text="How long a hold lasts, in seconds.")
    lobby_s = WholeNumber(default=2, min_value=1, max_value=60, help_text="From now to the opening, in seconds.")


@extend_schema_serializer(
    component_name="TestSale",
    examples=[
        OpenApiExample(
            "short",
            {
                "sale": "sandbox.0123456789abcdef0123",
                "line": "test",
                "opens_at": "2026-11-22T22:32:08.880000+07:00",
                "closes_at": "2026-11-22T22:47:08.880000+07:00",
                "claim_s": 60,
                "hold_s": 60,
                "limit": 2,
                "items": [dict(offer) for offer in sandbox.OFFERS],
            },
            response_only=True,
        )
    ],
)
class SandboxSaleSerializer(serializers.Serializer[Sale]):
    """A test sale. It closes after 15 minutes, and it is deleted after a day."""

    sale = serializers.CharField(source="code")
    line = serializers.SerializerMethodField()
    opens_at = serializers.DateTimeField()
    closes_at = serializers.DateTimeField()
    claim_s = serializers.IntegerField()
    hold_s = serializers.IntegerField()
    limit = serializers.IntegerField(help_text="Units that one person may have in this sale.")
    items = serializers.SerializerMethodField()

    def get_line(self, _sale: Sale) -> str:
        """The code of its line."""
        return sandbox.LINE

    def get_items(self, _sale: Sale) -> list[dict[str, Any]]:
        """What it sells, and the prices."""
        return [dict(offer) for offer in sandbox.OFFERS]


class MakeTestSale(SandboxView):
    """A new test sale."""

    form = NewSaleSerializer
    sandbox_verb = "sale"

    @extend_schema(
        operation_id="makeTestSale", parameters=[KEY], request=NewSaleSerializer, responses=SandboxSaleSerializer
    )
    def post(self, request: Request) -> Response:
        """Makes a small sale that opens within seconds and calls people at once.

        At most 5 run at a time and 50 in a day; then it is refused with too_many_requests.
        """
        key = request.headers.get("Idempotency-Key", "")

        def act(_call: int) -> dict[str, Any]:
            sale = sandbox.make_sale(channel=self.partner.channel, key=key, **self.values)
            return dict(SandboxSaleSerializer(sale).data)

        return run_once(request, self.partner, act)


@extend_schema_serializer(component_name="MagicIdentity")
class MagicIdentitySerializer(serializers.Serializer[Magic]):
    """A person who gets one refusal or state. Any one of the values makes the person magic."""

    name = serializers.CharField()
    call = serializers.CharField(source="verb", help_text="The call whose answer it changes.")
    code = serializers.CharField(source="outcome", help_text="The code of the answer.")
    when = serializers.ChoiceField(
        ["always", "once", "lost", "after"],
        help_text=(
            "always: each call is refused. once: the first call is refused and has no effect. lost: the first call has "
            "its effect, and its answer is lost. after: the call succeeds, and then it happens."
        ),
    )
    what = serializers.CharField(help_text="What it means, and what you do then.")
    email = serializers.SerializerMethodField(help_text="You may add a tag of your own before the @: name+tag@…")
    phone = serializers.SerializerMethodField(help_text="The last four digits may be any.")
    text = serializers.SerializerMethodField(help_text="For the axes account, payment, device and address.")
    national_id = serializers.SerializerMethodField(help_text="The last six digits may be any.")

    def get_email(self, magic: Magic) -> str:
        """As an e-mail address."""
        return magic.email()

    def get_phone(self, magic: Magic) -> str:
        """As a phone number."""
        return magic.phone()

    def get_text(self, magic: Magic) -> str:
        """As a text."""
        return f"{TEXT_PREFIX}{magic.name}"

    def get_national_id(self, magic: Magic) -> str:
        """As a national id."""
        return f"99000000{magic.number:02d}000000"


class MagicInstrumentSerializer(serializers.Serializer[Any]):
    """A value of `instrument` that gives one result of a payment."""

    name = serializers.CharField()
    what = serializers.CharField()


@extend_schema_serializer(component_name="MagicValues")
class MagicSerializer(serializers.Serializer[Any]):
    """All magic values."""

    identities = MagicIdentitySerializer(many=True)
    instruments = MagicInstrumentSerializer(many=True)


class MagicList(PublicView):
    """The magic values of test sales."""

    @extend_schema(operation_id="listMagic", responses=MagicSerializer)
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework's signature
        """Identities and instruments that give each refusal and state in a test sale. In live sales they do nothing."""
        document = MagicSerializer({"identities": IDENTITIES, "instruments": [one._asdict() for one in INSTRUMENTS]})
        return cacheable(Response(document.data), MAGIC_FRESH_S)


@extend_schema_serializer(
    component_name="TestBank", examples=[OpenApiExample("paid", {"paid": True}, request_only=True)]
)
class BankSerializer(StrictSerializer):
    """What the test bank does."""

    paid = serializers.BooleanField(help_text="true: the buyer pays. false: the bank declines.")


@extend_schema_serializer(
    component_name="TestBankAnswer",
    examples=[OpenApiExample("paid", {"reference": "fs-7Q2Z9K1M4R8T3V6W0XYZ-1", "state": "paid"}, response_only=True)],
)
class BankAnswerSerializer(serializers.Serializer[Any]):
    """What the test bank has now. The payment follows within seconds, as with a real provider."""

    reference = serializers.CharField()
    state = serializers.ChoiceField([state.value for state in Charge])


class PlayBank(SandboxView):
    """The bank of a payment in a test sale."""

    form = BankSerializer

    @extend_schema(
        operation_id="playBank", parameters=[REFERENCE], request=BankSerializer, responses=BankAnswerSerializer
    )
    def post(self, request: Request, reference: str) -> Response:  # noqa: ARG002 - the framework's signature
        """Pays or declines a payment that is started, as the buyer does in the app of their bank. Safe to repeat.

        `reference` is that of `payment` in the reservation. What is paid or declined stays so.
        """
        attempt = sandbox_calls.attempt_of(reference=reference, channel=self.partner.channel)
        if attempt is None or attempt.account != payments.SandboxProvider.account:
            raise Refused(Outcome.NOT_FOUND, "There is no payment with this reference.")
        bank = payments.sandbox
        state = (bank.pay if self.values["paid"] else bank.decline)(reference=reference)
        body, headers = bank.signed_notification(reference=reference)
        inbox.store(account=bank.account, references=[reference], body=body, headers=headers)
        late = attempt.reservation.state != ReservationState.HELD
        sandbox_calls.note(
            channel=self.partner.channel, sale=None, verb="pay", code=sandbox_calls.OK,
            subject=str(attempt.reservation_id), facts={"paid": state is Charge.PAID, "late": late},
        )  # fmt: skip
        return Response({"reference": reference, "state": state.value})


class ConformanceQuery(StrictSerializer):
    """Query parameters of the checklist."""

    since_sale = serializers.CharField(
        required=False,
        max_length=40,
        help_text="Judge the calls since this test sale was made; send the first one of your run. Else: of a day.",
    )


@extend_schema_serializer(component_name="ConformanceCheck")
class CheckSerializer(serializers.Serializer[Any]):
    """One point of the checklist."""

    name = serializers.CharField()
    passed = serializers.BooleanField()
    why = serializers.CharField(help_text="What goes wrong in a live sale without it.")
    how = serializers.CharField(help_text="How to pass it.")


@extend_schema_serializer(
    component_name="Conformance",
    examples=[
        OpenApiExample(
            "one point",
            {
                "passed": 24,
                "total": 25,
                "calls": 61,
                "checks": [
                    {"name": one.name, "passed": False, "why": one.why, "how": one.how}
                    for one in CHECKS
                    if one.name == "reserve-repeated"
                ],
            },
            response_only=True,
        )
    ],
)
class ConformanceSerializer(serializers.Serializer[Any]):
    """What your integration has shown."""

    passed = serializers.IntegerField()
    total = serializers.IntegerField()
    calls = serializers.IntegerField(help_text="How many calls of yours it has judged.")
    checks = CheckSerializer(many=True)


class Conformance(SandboxView):
    """The checklist of the sandbox."""

    query = ConformanceQuery

    @extend_schema(operation_id="readConformance", parameters=[ConformanceQuery], responses=ConformanceSerializer)
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework's signature
        """What your code did in test sales in the last day, as a checklist: what it has shown, and what is missing."""
        calls = sandbox_calls.calls_of(channel=self.partner.channel, since_sale=self.parameters.get("since_sale", ""))
        checks = [
            {"name": check.name, "passed": passed, "why": check.why, "how": check.how} for check, passed in judge(calls)
        ]
        passed = sum(1 for check in checks if check["passed"])
        return Response({"passed": passed, "total": len(CHECKS), "calls": len(calls), "checks": checks})
