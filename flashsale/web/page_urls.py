"""Addresses of the pages for shoppers."""

from django.urls import include, path, re_path

from flashsale.web import codes, fairness, letters, orders, outbox, pages, plan, rules

urlpatterns = [
    path("", pages.home, name="home"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("outbox", outbox.outbox, name="outbox"),
    path("s/<str:code>/", pages.sale, name="sale"),
    path("s/<str:code>/fairness", fairness.fairness, name="fairness"),
    path("s/<str:code>/rules", rules.rules, name="rules"),
    path("s/<str:code>/receipt", pages.receipt, name="receipt"),
    path("s/<str:code>/plan", plan.plan, name="plan"),
    path("s/<str:code>/codes", codes.send, name="codes"),
    path("s/<str:code>/prove", codes.prove, name="prove"),
    path("s/<str:code>/confirm", orders.confirm, name="confirm"),
    path("s/<str:code>/release", orders.release, name="release"),
    path("s/<str:code>/order/<uuid:reservation>", orders.order, name="order"),
    path("appeal/<str:token>", letters.appeal, name="appeal"),
    path("invitation/<str:token>", letters.invitation, name="invitation"),
    re_path(
        r"^s/(?P<code>[^/]+)/order/(?P<reservation>[0-9a-f-]{36})/(?P<what>cancel|release)$",
        orders.act,
        name="act",
    ),
]
