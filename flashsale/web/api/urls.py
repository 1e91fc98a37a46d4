"""Addresses of the REST API. The verbs of a line (hot.py) never come here."""

from django.urls import path, re_path
from drf_spectacular.views import SpectacularSwaggerSplitView

from flashsale.web.api import catalogue, document, fairness_report, keys, payments, reservations
from flashsale.web.api.access import Unknown

urlpatterns = [
    path("v1/openapi.json", document.OpenApi.as_view(), name="openapi"),
    path("v1/docs/", document.reader(SpectacularSwaggerSplitView.as_view(url_name="openapi")), name="api-docs"),
    path("v1/keys", keys.Keys.as_view(), name="keys"),
    path("v1/sales", catalogue.Sales.as_view()),
    path("v1/sales/<str:code>", catalogue.OneSale.as_view()),
    path("v1/sales/<str:code>/rules", catalogue.RulesOf.as_view()),
    path("v1/sales/<str:code>/transcript", catalogue.TranscriptOf.as_view(), name="transcript"),
    path("v1/sales/<str:code>/fairness", fairness_report.FairnessOf.as_view(), name="fairness-json"),
    path("v1/reservations", reservations.Reservations.as_view()),
    path("v1/reservations/<uuid:id>", reservations.OneReservation.as_view()),
    path("v1/reservations/<uuid:id>/confirm", reservations.Confirm.as_view()),
    path("v1/reservations/<uuid:id>/cancel", reservations.Cancel.as_view()),
    path("v1/reservations/<uuid:id>/release", reservations.Release.as_view()),
    path("v1/payments/demo", payments.DemoCallBack.as_view(), name="demo-call-back"),
    path("problems/<str:code>", document.problem_page),
    re_path(r"^v1/", Unknown.as_view()),
]
