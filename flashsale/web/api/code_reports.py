"""Delivery reports of the gateways for one-time codes. Only a signature authenticates them, and they may repeat."""

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.gate import bridge
from flashsale.life import send_codes
from flashsale.providers import messages
from flashsale.providers.messages.base import NotBelieved, Report
from flashsale.providers.messages.sms import report_url
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web import limits
from flashsale.web.api.access import PublicView
from flashsale.web.hot.http import HttpFault
from flashsale.web.problems import Fault

# Meta puts many statuses into one call.
REPORT_BYTES_MAX = 128 * 1024


class CodeReports(PublicView):
    """Reports of one gateway. Those that are taken have no rate limit, because a gateway tells of a whole sale."""

    throttle_classes = []
    form = None  # the signature covers the bytes of the body, so it is checked before the body is read
    schema = None
    gateway = ""

    def post(self, request: Request) -> Response:
        """Applies the reports. One about a message that is not ours, or is over, changes nothing."""
        with limits.counting_refusals(request):
            sender, reports = self._reports(request)
        return Response({"known": bridge.run(send_codes.receive(sender=sender, reports=reports))})

    def _reports(self, request: Request) -> tuple[str, list[Report]]:
        """The sender and its reports. Refuses what is not signed, malformed or too large."""
        sender = messages.REPORTING[self.gateway]
        # Without its reports, a gateway has no key that could sign them.
        if sender.name not in messages.senders_to_phones() or not sender.reports:
            raise Refused(Outcome.NOT_FOUND, "No codes are sent by this gateway.")
        if len(request.body) > REPORT_BYTES_MAX:
            raise HttpFault(Fault.TOO_LARGE, f"The body may have {REPORT_BYTES_MAX} bytes.")
        try:
            reports = sender.believe(url=report_url(), body=request.body, headers=request.headers)
        except NotBelieved as error:
            raise Refused(Outcome.FORBIDDEN, str(error)) from error
        except ValueError as error:
            raise Refused(Outcome.MALFORMED, "The report cannot be read.") from error
        return sender.name, reports


class TwilioReports(CodeReports):
    """What Twilio calls for each change of a message (StatusCallback)."""

    gateway = "twilio"


class WhatsAppReports(CodeReports):
    """What Meta calls for each change of a message."""

    gateway = "whatsapp"

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        """Takes the query of Meta's check as it is, because its names are not ours."""
        if request.method == "POST":
            super().initial(request, *args, **kwargs)

    def get(self, request: Request) -> HttpResponse:
        """Answers Meta's check of the address."""
        limits.enforce(request, limits.API_ADDRESS)
        if messages.WHATSAPP.name not in messages.senders_to_phones():
            raise Refused(Outcome.NOT_FOUND, "No codes are sent by this gateway.")
        try:
            challenge = messages.WHATSAPP.answer_challenge(request.query_params)
        except NotBelieved as error:
            raise Refused(Outcome.FORBIDDEN, str(error)) from error
        return HttpResponse(challenge, content_type="text/plain")
