"""URLs of the pages for shoppers."""

from django.urls import include, path, re_path, register_converter
from django.urls.converters import StringConverter

from flashsale.life import sealed_links
from flashsale.life.sandbox import TEST_SALE_CODE
from flashsale.web.hot.http import CODE_PATTERN
from flashsale.web.pages import (
    checkout,
    codes,
    embed,
    fairness_csv,
    fairness_page,
    find_page,
    letter_pages,
    orders,
    paying,
    plan_page,
    proof_page,
    refusals_page,
    rule_set_page,
    sale_page,
)


class SaleCode(StringConverter):
    """A sale's code. Other strings do not match, so they cost no call of Redis or PostgreSQL.

    The code of a test sale does not match either, because a test sale has no pages for shoppers.
    """

    regex = CODE_PATTERN.pattern

    def to_python(self, value: str) -> str:
        """The code. Raises ValueError for that of a test sale."""
        if TEST_SALE_CODE.fullmatch(value):
            raise ValueError("a test sale has no pages")
        return value


class LetterKind(StringConverter):
    """The first part of the path of a link in a letter."""

    regex = "|".join(sealed_links.Kind)


register_converter(SaleCode, "code")


class SealedToken:
    """A sealed token in a path. Every other text is not found."""

    regex = r"fs1\.[A-Za-z0-9_-]+"

    def to_python(self, value: str) -> str:
        """The token as it is."""
        return value

    def to_url(self, value: str) -> str:
        """The token as it is."""
        return value


register_converter(LetterKind, "letter")
register_converter(SealedToken, "sealed")

urlpatterns = [
    path("", sale_page.home, name="home"),
    path("problems/", refusals_page.refusals, name="refusals"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("s/<code:code>/", sale_page.sale, name="sale"),
    path("s/<code:code>/fairness", fairness_page.fairness, name="fairness"),
    path("s/<code:code>/fairness/<str:name>.csv", fairness_csv.figures, name="fairness-figures"),
    path("s/<code:code>/rules", rule_set_page.rules, name="rules"),
    path("s/<code:code>/receipt", sale_page.receipt, name="receipt"),
    path("s/<code:code>/ticket", proof_page.ticket, name="ticket"),
    path("s/<code:code>/proof", proof_page.proof, name="proof"),
    path("s/<code:code>/plan", plan_page.plan, name="plan"),
    path("s/<code:code>/puzzle", codes.puzzle, name="puzzle"),
    path("s/<code:code>/codes", codes.send, name="codes"),
    path("s/<code:code>/sent", codes.sent, name="sent"),
    path("s/<code:code>/prove", codes.prove, name="prove"),
    path("s/<code:code>/find", find_page.find, name="find"),
    path("s/<code:code>/find/puzzle", find_page.puzzle, name="find-puzzle"),
    path("s/<code:code>/checkout", checkout.checkout, name="checkout"),
    path("s/<code:code>/embed", embed.embed, name="embed"),
    path("snippet.js", embed.snippet, name="snippet"),
    path("s/<code:code>/confirm", orders.confirm, name="confirm"),
    path("s/<code:code>/release", orders.release, name="release"),
    path("s/<code:code>/order/<uuid:reservation>", orders.order, name="order"),
    path("s/<code:code>/order/<uuid:reservation>/payment", paying.state, name="payment"),
    path("appeal", letter_pages.appeal, name="appeal"),
    path("invitation", letter_pages.invitation, name="invitation"),
    path("bank-account", letter_pages.bank_account, name="bank-account"),
    path("my-order", letter_pages.order, name="my-order"),
    path("my-order/payment", letter_pages.order_payment, name="my-order-payment"),
    path("<letter:kind>/<sealed:token>", letter_pages.old_link),
    re_path(
        rf"^s/(?P<code>{CODE_PATTERN.pattern})/order/(?P<reservation>[0-9a-f-]{{36}})/(?P<action>cancel|code|release)$",
        orders.act,
        name="act",
    ),
]
