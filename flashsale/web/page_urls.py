"""Addresses of the pages for shoppers."""

from django.urls import include, path, re_path, register_converter
from django.urls.converters import StringConverter

from flashsale.web import codes, fairness, letters, orders, outbox, pages, plan, rules
from flashsale.web.wire import CODE_FORM


class Code(StringConverter):
    """A sale's code: neither gate nor books are asked for what cannot be one."""

    regex = CODE_FORM.pattern


register_converter(Code, "code")

urlpatterns = [
    path("", pages.home, name="home"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("outbox", outbox.outbox, name="outbox"),
    path("s/<code:code>/", pages.sale, name="sale"),
    path("s/<code:code>/fairness", fairness.fairness, name="fairness"),
    path("s/<code:code>/rules", rules.rules, name="rules"),
    path("s/<code:code>/receipt", pages.receipt, name="receipt"),
    path("s/<code:code>/plan", plan.plan, name="plan"),
    path("s/<code:code>/codes", codes.send, name="codes"),
    path("s/<code:code>/prove", codes.prove, name="prove"),
    path("s/<code:code>/confirm", orders.confirm, name="confirm"),
    path("s/<code:code>/release", orders.release, name="release"),
    path("s/<code:code>/order/<uuid:reservation>", orders.order, name="order"),
    path("appeal/<str:token>", letters.appeal, name="appeal"),
    path("invitation/<str:token>", letters.invitation, name="invitation"),
    re_path(
        rf"^s/(?P<code>{CODE_FORM.pattern})/order/(?P<reservation>[0-9a-f-]{{36}})/(?P<what>cancel|release)$",
        orders.act,
        name="act",
    ),
]
