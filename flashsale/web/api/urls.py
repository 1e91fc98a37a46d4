"""URLs of the REST API. Requests for the verbs of a line do not reach them: the hot door (web/hot) answers first.

Views that only read need no form of ours, so other methods get 405 there and not a word about cookies. Long answers
are compressed here, because nginx compresses nothing; a short one, such as a transcript, would not become much shorter.
"""

from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.gzip import gzip_page

from flashsale.web.api import (
    catalogue,
    code_reports,
    document,
    events,
    fairness_report,
    keys,
    letter_reports,
    passes,
    payments,
    reservations,
    sandbox,
    settlements,
    shoppers,
    webhooks,
)
from flashsale.web.api.access import UnknownPath

urlpatterns = [
    path("v1/openapi.json", csrf_exempt(gzip_page(document.OpenApi.as_view())), name="openapi"),
    path(
        "v1/docs/",
        document.allow_swagger_styles(document.Docs.as_view(url_name="openapi")),
        name="api-docs",
    ),
    path("v1/keys", keys.KeyList.as_view(), name="keys"),
    path("v1/keys/rotate", keys.RotateKey.as_view()),
    path("v1/sales", catalogue.SaleList.as_view()),
    path("v1/sales/<str:code>", catalogue.SaleDetail.as_view()),
    path("v1/sales/<str:sale>/lines/<str:line>/list", shoppers.ListedPeople.as_view()),
    path("v1/eligibility", shoppers.EligibilityAnswer.as_view()),
    path("v1/sales/<str:code>/rules", catalogue.SaleRuleSet.as_view()),
    path("v1/sales/<str:code>/transcript", catalogue.SaleTranscript.as_view(), name="transcript"),
    path("v1/sales/<str:code>/draw", catalogue.SaleDraw.as_view(), name="draw-json"),
    path("v1/sales/<str:sale>/lines/<str:line>/entries/<int:tile>", catalogue.EntriesTile.as_view()),
    path("v1/sales/<str:code>/fairness", fairness_report.SaleFairnessReport.as_view(), name="fairness-json"),
    path("v1/reservations", gzip_page(reservations.ReservationList.as_view())),
    path("v1/reservations/<uuid:id>", reservations.ReservationDetail.as_view()),
    path("v1/reservations/<uuid:id>/confirm", reservations.ConfirmReservation.as_view()),
    path("v1/reservations/<uuid:id>/cancel", reservations.CancelReservation.as_view()),
    path("v1/reservations/<uuid:id>/refund", reservations.RefundReservation.as_view()),
    path("v1/reservations/<uuid:id>/release", reservations.ReleaseReservation.as_view()),
    path("v1/passes/redeem", passes.RedeemPass.as_view()),
    path("v1/events", gzip_page(events.EventList.as_view())),
    path("v1/test/sales", sandbox.MakeTestSale.as_view()),
    path("v1/test/magic", sandbox.MagicList.as_view()),
    path("v1/test/payments/<str:reference>", sandbox.PlayBank.as_view()),
    path("v1/test/conformance", sandbox.Conformance.as_view()),
    path("v1/settlements", settlements.SettlementList.as_view()),
    path("v1/settlements/<str:sale>/<str:date>", settlements.SettlementDetail.as_view()),
    path("v1/settlements/<str:sale>/<str:date>/signature", settlements.SettlementSignature.as_view()),
    path("v1/webhooks", webhooks.WebhookList.as_view()),
    path("v1/webhooks/<uuid:id>", webhooks.WebhookDetail.as_view()),
    path("v1/webhooks/<uuid:id>/rotate", webhooks.RotateWebhook.as_view()),
    path("v1/webhooks/<uuid:id>/test", webhooks.TestWebhook.as_view()),
    path("v1/webhooks/<uuid:id>/resend", webhooks.ResendWebhook.as_view()),
    path("v1/webhooks/<uuid:id>/deliveries", webhooks.DeliveryList.as_view()),
    path("v1/webhooks/<uuid:id>/deliveries/<int:delivery>/resend", webhooks.ResendDelivery.as_view()),
    path("v1/payments/demo", payments.DemoPaymentNotification.as_view(), name="demo-notification"),
    path("v1/payments/<str:account>", payments.PaymentNotification.as_view(), name="payment-notification"),
    path("v1/codes/whatsapp", code_reports.WhatsAppReports.as_view()),
    path("v1/codes/twilio", code_reports.TwilioReports.as_view()),
    # The path is that of django-anymail.
    path("anymail/<str:service>/tracking/", letter_reports.receive, name="letter-reports"),
    path("llms.txt", csrf_exempt(document.llms)),
    path("problems/<str:code>", csrf_exempt(document.problem_page)),
    re_path(r"^v[0-9]+(?:/|$)", UnknownPath.as_view()),
]
