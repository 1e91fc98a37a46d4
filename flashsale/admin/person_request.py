"""Requests of people about their data: taken with the proof of identity, answered by actions, each with its record."""

from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters

from flashsale.admin.action_page import Action, ReadOnlyAdmin, Table
from flashsale.admin.labels import local_time, state_label
from flashsale.admin.sale_forms import ZonedDateTimeField
from flashsale.admin.support import DeskForm
from flashsale.life import erase_person, person_data, person_requests
from flashsale.life.contact import CONTACT_FIELDS, NAME_CHARS_MAX
from flashsale.life.person_requests import Kind, State, orders_of, values_of
from flashsale.life.staff_campaigns import is_limited
from flashsale.models import PersonRequest
from flashsale.rules.identity import ADDRESS_CHARS_MAX, EMAIL_CHARS_MAX, VALUE_CHARS_MAX, Axis

ZONE = ZoneInfo(settings.TIME_ZONE)
CHANGE = "flashsale.change_personrequest"


class TakeForm(DeskForm):
    """A new request: who asks, for what, how the identity was proven, and when it came."""

    kind = forms.ChoiceField(label=gettext_lazy("kind"), choices=Kind.choices)
    phone = forms.CharField(label=gettext_lazy("phone"), max_length=VALUE_CHARS_MAX, required=False)
    email = forms.CharField(label=gettext_lazy("e-mail"), max_length=EMAIL_CHARS_MAX, required=False)
    national_id = forms.CharField(label=gettext_lazy("national id"), max_length=VALUE_CHARS_MAX, required=False)
    proof = forms.ChoiceField(
        label=gettext_lazy("identity proven by"), choices=PersonRequest.Proof.choices,
        help_text=gettext_lazy("Type only values that the person has proven to be theirs."),
    )  # fmt: skip
    received_at = ZonedDateTimeField(
        label=gettext_lazy("received"), help_text=gettext_lazy("The answer is due 72 hours after it (time of Jakarta).")
    )

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        field = self.fields["received_at"]
        assert isinstance(field, ZonedDateTimeField)
        field.zone, field.initial = ZONE, timezone.now()


class AnswerForm(forms.Form):
    """In which form the data is handed out."""

    form = forms.ChoiceField(
        label=gettext_lazy("file"),
        choices=[("html", gettext_lazy("a page to read (HTML)")), ("json", gettext_lazy("for machines (JSON)"))],
    )


class CorrectForm(forms.Form):
    """The order, and the fields that change."""

    order = forms.ChoiceField(label=gettext_lazy("order"))
    name = forms.CharField(label=gettext_lazy("name"), max_length=NAME_CHARS_MAX, required=False)
    address = forms.CharField(label=gettext_lazy("address"), max_length=ADDRESS_CHARS_MAX, required=False)
    phone = forms.CharField(label=gettext_lazy("phone"), max_length=VALUE_CHARS_MAX, required=False)
    email = forms.CharField(
        label=gettext_lazy("e-mail"), max_length=EMAIL_CHARS_MAX, required=False,
        help_text=gettext_lazy("An empty field stays as it is."),
    )  # fmt: skip


class RefuseForm(forms.Form):
    """Why a request is refused."""

    reason = forms.ChoiceField(
        label=gettext_lazy("reason"),
        choices=[pair for pair in PersonRequest.Reason.choices if pair[0] != PersonRequest.Reason.WISH],
    )


class RequestAction(Action):
    """An action on an open request. `kinds` are the kinds of request that it answers."""

    permission = CHANGE
    needs_proof = True
    kinds: tuple[str, ...] = tuple(Kind.values)

    def is_available(self, row: PersonRequest) -> bool:
        """While the request is open."""
        return row.state == State.OPEN and row.kind in self.kinds

    def tables(self, rows: Any) -> list[Table]:
        """The orders of the person, without personal data."""
        return [orders_table(rows[0])]


def _values(row: PersonRequest) -> dict[Axis, str]:
    """The person's values; none where this server cannot read them, so that the page opens and the request closes."""
    try:
        return values_of(row)
    except ValidationError:
        return {}


def orders_table(row: PersonRequest) -> Table:
    """The orders that belong to the person of a request."""
    orders = list(orders_of(_values(row))[:100])
    cells = [
        [str(order.pk)[:8], order.sale.campaign.name, order.sale.name, order.quantity, state_label(order.state)]
        for order in orders
    ]
    title = _("Orders of the person: %(count)d") % {"count": len(orders)}
    return Table(title, [_("order"), _("campaign"), _("sale"), _("units"), _("state")], cells)


class HandOut(RequestAction):
    """All that is held, as a file for the person."""

    name = "hand-out"
    title = gettext_lazy("Hand out what is held")
    kinds = (Kind.FIND, Kind.EXPORT)

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """The file has personal data."""
        return [
            _("You get a file with all that is held about the person. Give it only to the person, and delete it then."),
            _("The request stays open until you note that it is answered."),
        ]

    def build_form(self, rows: Any, data: Any) -> forms.Form:  # noqa: ARG002
        """HTML or JSON."""
        return AnswerForm(data)

    def perform(self, *, row: PersonRequest, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """The file. The trail notes who has made it."""
        found = person_data.collect(request=row, by=request.user)
        name = f"request-{row.pk}.{data['form']}"
        if data["form"] == "json":
            answer: HttpResponse = JsonResponse(found, json_dumps_params={"ensure_ascii": False, "indent": 1})
        else:
            page = render_to_string("admin/flashsale/person_data.html", {"request_id": row.pk, "node": _node(found)})
            answer = HttpResponse(page, content_type="text/html; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        return answer


def _node(value: Any) -> dict[str, Any]:
    """The data as the template shows it: a map, a list or a text."""
    if isinstance(value, dict):
        return {"map": [(name.replace("_", " "), _node(part)) for name, part in value.items()]}
    if isinstance(value, list):
        return {"list": [_node(part) for part in value]}
    return {"text": "–" if value in {None, ""} else str(value)}


class Answered(RequestAction):
    """open → done."""

    name = "answered"
    title = gettext_lazy("It is answered")
    kinds = (Kind.FIND, Kind.EXPORT, Kind.CORRECT)

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """The values go."""
        return [_("The request is closed, and the person's values are deleted from it.")]

    def perform(self, *, row: PersonRequest, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Closes the request."""
        person_requests.close(request=row, state=State.DONE, by=request.user)
        return _("The request is closed.")


class Correct(RequestAction):
    """Another name, address, phone or e-mail in the contact of one order."""

    name = "correct"
    title = gettext_lazy("Correct a contact")
    kinds = (Kind.CORRECT,)

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """What changes, and what not."""
        return [
            _("The contact of the order changes. The trail keeps digests of the old and the new values."),
            _("The limit still knows the person by the values with which they entered the line."),
        ]

    def build_form(self, rows: Any, data: Any) -> forms.Form:
        """The orders of the person with a contact."""
        form = CorrectForm(data)
        orders = orders_of(_values(rows[0])).filter(contact__isnull=False)[:100]
        choices = [(str(order.pk), f"{str(order.pk)[:8]}, {order.sale.name}") for order in orders]
        form.fields["order"].choices = choices  # type: ignore[attr-defined]
        return form

    def perform(self, *, row: PersonRequest, request: HttpRequest, data: dict[str, Any]) -> str:
        """Stores the fields that are not empty."""
        changes = {name: data[name] for name in CONTACT_FIELDS}
        changed = person_requests.correct(request=row, order=UUID(data["order"]), changes=changes, by=request.user)
        return _("%(count)d fields are corrected.") % {"count": len(changed)}


class Restrict(RequestAction):
    """open → done: nothing is sent or scored."""

    name = "restrict"
    title = gettext_lazy("Restrict the orders")
    kinds = (Kind.RESTRICT,)

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """What stops, and what goes on."""
        return [
            _(
                "No letter about these orders goes out, and no review scores them. Letters wait until the restriction "
                "is lifted."
            ),
            _("Orders, payments and refunds go on. A time to appeal that waits for a letter waits, too."),
        ]

    def perform(self, *, row: PersonRequest, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Restricts the orders of this moment."""
        return _("%(count)d orders are restricted.") % {"count": person_requests.restrict(request=row, by=request.user)}


class Lift(RequestAction):
    """done → lifted."""

    name = "lift"
    title = gettext_lazy("Lift the restriction")

    def is_available(self, row: PersonRequest) -> bool:
        """For a restriction that is in force."""
        return row.state == State.DONE and row.kind == Kind.RESTRICT

    def tables(self, rows: Any) -> list[Table]:  # noqa: ARG002
        """None: the person's values are deleted."""
        return []

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """Letters go out."""
        return [_("Letters that waited and are still true go out, and reviews score the orders again.")]

    def perform(self, *, row: PersonRequest, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Lifts it."""
        person_requests.lift(request=row, by=request.user)
        return _("The restriction is lifted.")


class Erase(RequestAction):
    """open → approved → done, by a second person."""

    name = "erase"
    title = gettext_lazy("Approve and erase")
    kinds = (Kind.ERASE,)

    def obstacles(self, rows: Any) -> list[str]:
        """What is not settled."""
        try:
            return erase_person.obstacles(rows[0])
        except ValidationError as error:
            return error.messages

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """What goes for ever, and what stays."""
        return [
            _(
                "The contact, digests, bank account, what partners attached, notes on cases, entries on lists, pieces "
                "of digests in evidence and the place in a line are deleted for ever."
            ),
            _(
                "Orders, payments, refunds and settlements stay as facts without a person: the law obliges a shop to "
                "keep its accounts."
            ),
            _(
                "While a sale of the campaign is not over, or another one is planned, the limit still counts the units "
                "of the person. Its digests go when the last sale is over, or %(days)d days after it if the plan comes "
                "to nothing. Tell the person."
            )
            % {"days": erase_person.PLANNED_MOST.days},
            _("The person who took the request cannot approve it."),
        ]

    def perform(self, *, row: PersonRequest, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Approves it. It is carried out at once, or as soon as Redis answers and the sales are over."""
        fresh = erase_person.approve(request=row, by=request.user)
        if fresh.state == State.DONE:
            return _("The person is erased.")
        return _("It is approved. What is left goes by itself when the sales are over and Redis answers.")


class Refuse(RequestAction):
    """open → refused."""

    name = "refuse"
    title = gettext_lazy("Refuse")

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """The person must hear the reason."""
        return [_("Tell the person the reason. The request is closed, and the person's values are deleted from it.")]

    def build_form(self, rows: Any, data: Any) -> forms.Form:  # noqa: ARG002
        """The reason."""
        return RefuseForm(data)

    def perform(self, *, row: PersonRequest, request: HttpRequest, data: dict[str, Any]) -> str:
        """Closes the request with the reason."""
        person_requests.close(request=row, state=State.REFUSED, by=request.user, reason=data["reason"])
        return _("The request is refused.")


@admin.register(PersonRequest)
class PersonRequestAdmin(ReadOnlyAdmin):
    """Requests about personal data, the most urgent first. None shows a value of the person."""

    list_display = ["__str__", "state", "received", "due", "late", "proof", "reason", "made_by", "done_by"]
    list_filter = ["state", "kind", "reason"]
    list_select_related = ["made_by", "done_by"]
    ordering = ["done_at", "due_at", "pk"]
    show_full_result_count = False
    fields = [
        "kind", "state", "received", "due", "late", "proof", "reason", "made_by", "approved_by", "done_by", "done",
    ]  # fmt: skip
    row_actions = (HandOut(), Correct(), Answered(), Restrict(), Lift(), Erase(), Refuse())

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whether the user may take requests. An answer has the orders of all campaigns."""
        return request.user.has_perm("flashsale.add_personrequest") and not is_limited(request.user)

    @method_decorator(sensitive_post_parameters("phone", "email", "national_id"))
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:  # noqa: ARG002
        """The form of a new request."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = TakeForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            values = {axis.value: data[axis.value] for axis in (Axis.PHONE, Axis.EMAIL, Axis.NATIONAL_ID)}
            try:
                row = person_requests.take(
                    kind=data["kind"], values=values, proof=data["proof"], received_at=data["received_at"],
                    by=request.user,
                )  # fmt: skip
            except ValidationError as error:
                form.add_error(None, error)
            else:
                messages.success(request, _("The request is taken. It is due %(time)s.") % {"time": self.due(row)})
                return HttpResponseRedirect(reverse("admin:flashsale_personrequest_change", args=[row.pk]))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Take a request"),
            "form": form,
        }
        return TemplateResponse(request, "admin/flashsale/person_request.html", context)

    @admin.display(description=gettext_lazy("received"), ordering="received_at")
    def received(self, row: PersonRequest) -> str:
        """In the zone of the server."""
        return local_time(row.received_at, ZONE)

    @admin.display(description=gettext_lazy("due"), ordering="due_at")
    def due(self, row: PersonRequest) -> str:
        """72 hours after it was received."""
        return local_time(row.due_at, ZONE)

    @admin.display(description=gettext_lazy("done"), ordering="done_at")
    def done(self, row: PersonRequest) -> str:
        """When it was closed; a dash for an open one."""
        return local_time(row.done_at, ZONE)

    @admin.display(description=gettext_lazy("late"), boolean=True)
    def late(self, row: PersonRequest) -> bool:
        """Whether the time to answer is over."""
        return row.is_late(timezone.now())
