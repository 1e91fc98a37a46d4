"""The desk of support and finance: find a person, read the story of an order, look at the provider, export.

What staff type to find a person is sent by POST and shown on the answer's page: it stands in no address and no log.
"""

import uuid
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters

from flashsale.admin.action_page import Table
from flashsale.admin.labels import local_time, state_label
from flashsale.admin.order_story import shown, story
from flashsale.gate.client import GateDown
from flashsale.life import exports
from flashsale.life.download import download_file
from flashsale.life.find_person import WHY_LABELS, Entry, Found, Why, find_person
from flashsale.life.letters import letters_of
from flashsale.life.look_now import look_now
from flashsale.life.read_contacts import look_at_contact
from flashsale.life.staff_campaigns import rows_of
from flashsale.life.staff_session import demand_fresh_proof
from flashsale.models import Campaign, Notice, Reservation, Sale
from flashsale.models.sale import ms
from flashsale.rules.money import format_money
from flashsale.rules.outcomes import Refused
from flashsale.rules.states import Phase, PlaceState

WHY = [(why.value, label) for why, label in WHY_LABELS.items()]
EXPORT_NAMES = {
    "orders": gettext_lazy("orders"),
    "units": gettext_lazy("units"),
    "payments": gettext_lazy("payments"),
    "refunds": gettext_lazy("refunds"),
    "cases": gettext_lazy("cases"),
    "trail": gettext_lazy("audit trail"),
}


class WhyField(forms.ChoiceField):
    """Why a person looks: one of a few reasons, because a free text could name a person in the trail."""

    def __init__(self) -> None:
        super().__init__(label=gettext_lazy("why"), choices=[("", "–"), *WHY])


class DeskForm(forms.Form):
    """A form whose labels begin with a capital, as elsewhere in the admin."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.label = capfirst(field.label)


class FindForm(DeskForm):
    """What a caller can read out, where, and why it is asked."""

    typed = forms.CharField(
        label=gettext_lazy("phone, e-mail, order, reference, or sale and number"),
        max_length=600,
        strip=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    campaign = forms.ModelChoiceField(
        label=gettext_lazy("campaign"),
        queryset=Campaign.objects.filter(sandbox_of=None, erased_at=None),
        required=False,
        empty_label=gettext_lazy("all"),
    )
    why = WhyField()


class RevealForm(DeskForm):
    """Why the contact is shown."""

    why = WhyField()


class SaleField(forms.ModelChoiceField):
    """Sales with their codes, because a copy of a sale may have the same name."""

    def label_from_instance(self, obj: Sale) -> str:
        """Name and code."""
        return f"{obj.name} ({obj.code})"


class ExportForm(DeskForm):
    """What is exported, as which file, and why."""

    name = forms.ChoiceField(label=gettext_lazy("what"), choices=list(EXPORT_NAMES.items()))
    form = forms.ChoiceField(label=gettext_lazy("file"), choices=[("xlsx", "XLSX"), ("csv", "CSV")])
    campaign = forms.ModelChoiceField(
        label=gettext_lazy("campaign"), queryset=Campaign.objects.filter(sandbox_of=None), required=False
    )
    sale = SaleField(
        label=gettext_lazy("sale"), queryset=Sale.objects.filter(campaign__sandbox_of=None), required=False
    )
    first = forms.DateField(
        label=gettext_lazy("from"), required=False, widget=forms.DateInput(attrs={"type": "date"}),
        help_text=gettext_lazy("The first day, in the zone of the campaign."),
    )  # fmt: skip
    last = forms.DateField(
        label=gettext_lazy("to"), required=False, widget=forms.DateInput(attrs={"type": "date"}),
        help_text=gettext_lazy("The last day. Units have no days."),
    )  # fmt: skip
    contacts = forms.BooleanField(
        label=gettext_lazy("with names, addresses, phones and e-mails"), required=False,
        help_text=gettext_lazy("Only for orders. The file then has personal data: delete it after use."),
    )  # fmt: skip
    why = WhyField()

    def clean(self) -> dict[str, Any]:
        """Refuses what does not fit together."""
        data: dict[str, Any] = super().clean() or {}
        campaign, sale, first, last = (data.get(name) for name in ("campaign", "sale", "first", "last"))
        if campaign and sale and sale.campaign_id != campaign.pk:
            self.add_error("sale", _("This sale belongs to another campaign."))
        if first and last and last < first:
            self.add_error("last", _("This day is before the first one."))
        if (first or last) and data.get("name") == "units":
            self.add_error("first", _("Units have no days: leave both empty."))
        if data.get("contacts") and data.get("name") != "orders":
            self.add_error("contacts", _("Only orders have contacts."))
        return data


class SupportPages:
    """The pages of the desk. They hang on the admin of reservations."""

    def __init__(self, model_admin: admin.ModelAdmin) -> None:
        self.admin = model_admin

    def urls(self) -> list[URLPattern]:
        """The addresses. None of them has a value of a person in it."""
        return [
            self._path("support/", self.find_view, "support"),
            self._path("exports/", self.export_view, "exports"),
            self._path("<uuid:pk>/story/", self.story_view, "story"),
            self._path("<uuid:pk>/contact/", self.contact_view, "story_contact"),
            self._path("<uuid:pk>/look/", self.look_view, "story_look"),
        ]

    def _path(self, route: str, view: Callable[..., HttpResponseBase], name: str) -> URLPattern:
        return path(route, self.admin.admin_site.admin_view(view), name=f"flashsale_{name}")

    def _page(self, request: HttpRequest, template: str, title: str, **more: Any) -> TemplateResponse:
        context = {**self.admin.admin_site.each_context(request), "opts": self.admin.opts, "title": title, **more}
        return TemplateResponse(request, f"admin/flashsale/{template}.html", context)

    def _may(self, request: HttpRequest, *permissions: str) -> None:
        if not request.user.has_perms([f"flashsale.{name}" for name in ("view_reservation", *permissions)]):
            raise PermissionDenied

    def _order(self, request: HttpRequest, pk: uuid.UUID) -> Reservation:
        found: Reservation | None = self.admin.get_queryset(request).filter(pk=pk).first()
        if found is None:
            raise Http404
        return found

    @method_decorator(sensitive_post_parameters("typed"))
    def find_view(self, request: HttpRequest) -> HttpResponse:
        """The search, and below it what was found."""
        self._may(request)
        form = _of_user(FindForm(request.POST if request.method == "POST" else None), request)
        tables: list[Table] = []
        found = None
        if request.method == "POST" and form.is_valid():
            try:
                found = find_person(
                    typed=form.cleaned_data["typed"], why=Why(form.cleaned_data["why"]),
                    campaign=form.cleaned_data["campaign"], by=request.user,
                    sees_contacts=request.user.has_perm("flashsale.view_contact"),
                )  # fmt: skip
                tables = _found_tables(found)
            except ValidationError as error:
                form.add_error("typed", error)
        return self._page(request, "support", _("Find a person"), form=form, tables=tables, found=found)

    def story_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """The story of one order, without personal data."""
        self._may(request)
        return self._story(request, self._order(request, pk), RevealForm())

    def contact_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """The same with the contact and the letters in words. It is a POST, because the trail says who saw it, why."""
        self._may(request, "view_contact")
        order = self._order(request, pk)
        form = RevealForm(request.POST if request.method == "POST" else None)
        if request.method != "POST" or not form.is_valid():
            return self._story(request, order, form)
        try:
            contact = look_at_contact(reservation=order, by=request.user, facts={"why": form.cleaned_data["why"]})
        except ValidationError as error:
            form.add_error("why", error)
            return self._story(request, order, form)
        letters = _letters_in_words(order) if contact.get(order.pk) else []
        known = contact.get(order.pk)
        values = list(known.values()) if known else [_("none, or erased")]
        return self._story(request, order, RevealForm(), contact=values, letters=letters)

    def look_view(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        """Asks the payment provider about the order now."""
        self._may(request, "view_paymentattempt")
        order = self._order(request, pk)
        if request.method == "POST":
            try:
                asked, silent = look_now(order=order, by=request.user)
                text = _("The provider was asked about %(asked)d payments and refunds; %(silent)d got no answer.")
                level = messages.WARNING if silent else messages.SUCCESS
                messages.add_message(request, level, text % {"asked": asked, "silent": silent})
            except (GateDown, Refused):
                messages.error(request, _("Redis (the gate) does not answer. Nothing was changed. Try again later."))
        return HttpResponseRedirect(reverse("admin:flashsale_story", args=[pk]))

    def _story(self, request: HttpRequest, order: Reservation, form: forms.Form, **more: Any) -> HttpResponse:
        again = "flashsale.change_notice"
        return self._page(
            request, "order_story", _("Order %(number)s") % {"number": str(order.pk)[:8]}, order=order,
            facts=_facts(order), steps=shown(story(order), order), form=form,
            may_see=request.user.has_perm("flashsale.view_contact"),
            may_look=request.user.has_perm("flashsale.view_paymentattempt"),
            letters_again=_letters_again(order) if request.user.has_perm(again) else [], **more,
        )  # fmt: skip

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The choice of an export; a POST sends its file."""
        self._may(request, "export_reservation")
        demand_fresh_proof(request)
        form = _of_user(ExportForm(request.POST if request.method == "POST" else None), request)
        may_see = request.user.has_perm("flashsale.export_contact")
        if not may_see:
            del form.fields["contacts"]
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            which = exports.Filter(data["campaign"], data["sale"], data["first"], data["last"])
            made = exports.make(
                name=data["name"], form=data["form"], which=which, contacts=bool(data.get("contacts")),
                why=data["why"], by=request.user,
            )  # fmt: skip
            return download_file(request, made.name, made.file)
        return self._page(request, "exports", _("Exports"), form=form)


def _of_user(form: forms.Form, request: HttpRequest) -> forms.Form:
    """The form, whose campaigns and sales are those of the user."""
    for field in form.fields.values():
        if isinstance(field, forms.ModelChoiceField) and field.queryset is not None:
            field.queryset = rows_of(field.queryset, request.user)
    return form


def _found_tables(found: Found) -> list[Table]:
    """The places and the orders, each with a link to its story. What matters most comes first, for a phone."""
    head = [
        _("order"),
        _("state"),
        _("payment"),
        _("amount"),
        _("number"),
        _("sale"),
        _("line"),
        _("units"),
        _("reserved"),
    ]
    title = _("Orders: %(count)d") % {"count": len(found.orders)}
    tables = [Table(title, head, [_order_cells(order) for order in found.orders])]
    if found.entries:
        head = [_("state"), _("number"), _("sale"), _("line"), _("called"), _("until"), _("place"), _("proven by")]
        tables.insert(0, Table(_("Places in a line"), head, [_entry_cells(entry) for entry in found.entries]))
    return tables


def _order_cells(order: Reservation) -> list[Any]:
    return [
        format_html('<a href="{}">{}</a>', reverse("admin:flashsale_story", args=[order.pk]), str(order.pk)[:8]),
        state_label(order.state), state_label(order.payment.payment_state) if order.payment else "–",
        format_money(order.amount, order.sale.campaign.currency), order.number, order.sale.name, order.allocation.code,
        order.quantity, local_time(order.made_at, order.sale.campaign.zone),
    ]  # fmt: skip


PLACE_LABELS = {
    "waiting": gettext_lazy("waits"),
    "called": gettext_lazy("called, may reserve now"),
    "lapsed": gettext_lazy("the time to reserve is over"),
    "spent": gettext_lazy("has reserved, or passed over"),
    "left": gettext_lazy("gave the place up"),
    "voided": gettext_lazy("void: the person has an earlier place"),
}


def _place_label(entry: Entry) -> Any:
    """The state of a place. Who waits in a sale that is over waits for nothing."""
    over = entry.sale.phase(ms(timezone.now())) in {Phase.CLOSED, Phase.CALLED_OFF}
    if over and entry.state in {PlaceState.WAITING, PlaceState.CALLED}:
        return _("the sale has ended")
    return PLACE_LABELS[entry.state.value]


def _entry_cells(entry: Entry) -> list[Any]:
    zone = entry.sale.campaign.zone
    return [
        _place_label(entry), entry.number or _("not drawn yet"), entry.sale.name, entry.line,
        local_time(entry.called_at, zone), local_time(entry.until, zone), entry.index,
        _("one-time code") if entry.by_code else _("the partner's word"),
    ]  # fmt: skip


def _facts(order: Reservation) -> list[tuple[Any, Any]]:
    """What the head of the page says."""
    zone = order.sale.campaign.zone
    return [
        (_("sale"), order.sale.name),
        (_("line"), f"{order.allocation.code}, {order.channel.name}"),
        (_("place and number"), f"{order.index} → {order.number}"),
        (_("units"), ", ".join(item.sku for item in order.items)),
        (_("amount"), format_money(order.amount, order.sale.campaign.currency)),
        (_("state"), state_label(order.state)),
        (_("payment"), state_label(order.payment.payment_state) if order.payment else "–"),
        (_("may be shipped"), _("no") if order.do_not_ship else _("yes")),
        (_("reference of the partner"), order.partner_reference or "–"),
        (_("reserved"), local_time(order.made_at, zone)),
    ]


def _letters_again(order: Reservation) -> list[tuple[str, str]]:
    """The address of "send again" for each letter that may go out again, with the letter's name."""
    page = reverse("admin:flashsale_notice_send-again")
    letters = Notice.objects.filter(reservation=order).exclude(state__in=["due", "dropped"])
    letters = letters.exclude(kind=Notice.Kind.ADDRESS).order_by("pk")
    return [(f"{page}?id={letter.pk}", letter.get_kind_display()) for letter in letters]


def _letters_in_words(order: Reservation) -> list[tuple[str, str]]:
    """The subject and the text of each letter, as it would be written now. It names the buyer."""
    return [
        (subject or letter.get_kind_display(), text or _("It cannot be written any more."))
        for letter, subject, text in letters_of(order)
    ]
