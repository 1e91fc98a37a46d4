"""The allow and block lists of the review. An entry is added and ended, and never changed."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters

from flashsale.admin.action_page import Action, ReadOnlyAdmin
from flashsale.admin.evidence import kind_label
from flashsale.admin.labels import local_time
from flashsale.life import listed_values
from flashsale.life.rule_set_text import KIND_LABELS
from flashsale.models import Campaign, Channel, ListedValue
from flashsale.models.sale import possible_time
from flashsale.rules.identity import ADDRESS_CHARS_MAX, Axis
from flashsale.rules.visible import visible


class ListedValueForm(forms.ModelForm):
    """A value as a person types it. Only its digest is stored."""

    axis = forms.ChoiceField(
        label=capfirst(gettext_lazy("axis")), choices=[(axis.value, KIND_LABELS[axis]) for axis in listed_values.AXES]
    )
    value = forms.CharField(
        label=capfirst(gettext_lazy("value")),
        max_length=ADDRESS_CHARS_MAX,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "size": 60}),
        help_text=gettext_lazy("As the buyer writes it, in any spelling. It becomes a digest at once and is not kept."),
    )
    channel = forms.ModelChoiceField(
        label=capfirst(gettext_lazy("channel")),
        queryset=Channel.objects.none(),
        required=False,
        help_text=gettext_lazy("Only for an account, which belongs to one channel."),
    )

    class Meta:
        model = ListedValue
        fields = ["campaign", "kind", "axis", "value", "channel", "why", "expires_at"]
        help_texts = {
            "kind": gettext_lazy(
                "Allow: what its orders share weakly with others, such as the address, links them to no group. A shared"
                " device or card still does. Block: people always look at its orders. No order is cancelled"
                " automatically."
            ),
            "expires_at": gettext_lazy("After this time the entry has no effect. The time is in the campaign's zone."),
            "why": gettext_lazy("Why the value is on the list, for colleagues. Write no names."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The channels of the user's campaigns. All requests share the fields of the class, so only the form's own
        # field may get them.
        if "channel" in self.fields:
            own = self.fields["campaign"].queryset  # type: ignore[attr-defined]
            self.fields["channel"].queryset = Channel.objects.filter(campaign__in=own).select_related("campaign")  # type: ignore[attr-defined]

    def clean_value(self) -> str:
        """The value without invisible characters."""
        return visible(self.cleaned_data["value"])

    def clean(self) -> dict[str, Any]:
        """Computes the digest. Adds an error for a value that cannot be read or is on a list already."""
        data: dict[str, Any] = super().clean() or {}
        if self.errors:
            return data
        possible_time(data["expires_at"])
        # The field was read on the clock of this server. What the person means is the clock of the campaign.
        typed = timezone.make_naive(data["expires_at"])
        data["expires_at"] = typed.replace(tzinfo=data["campaign"].zone)
        if data["expires_at"] <= timezone.now():
            raise ValidationError({"expires_at": _("The end must be in the future.")})
        axis = Axis(data["axis"])
        digest = listed_values.digest_of_value(
            campaign=data["campaign"], axis=axis, value=data["value"], channel=data.get("channel")
        )
        held = ListedValue.objects.filter(
            ListedValue.in_effect(timezone.now()), campaign=data["campaign"], axis=axis, digest=digest.hex()
        ).first()
        if held is not None:
            text = _("This value is on a list already (entry %(entry)d). End that entry first.")
            raise ValidationError({"value": text % {"entry": held.pk}})
        # The value itself goes no further than this method.
        data["digest"], data["value"] = digest, ""
        return data

    def _post_clean(self) -> None:
        """Checks no instance: the verb makes the row."""


class EndEntry(Action):
    """in effect → ended."""

    permission = "flashsale.change_listedvalue"
    name = "end"
    title = gettext_lazy("End this entry")
    bulk = True

    def is_available(self, row: ListedValue) -> bool:
        """For an entry that has effect."""
        return row.ended_at is None and row.expires_at > timezone.now()

    def consequences(self, rows: Sequence[ListedValue]) -> list[str]:  # noqa: ARG002
        """Later reviews do not use it."""
        return [_("Reviews that begin from now on do not use the entry. Cases that are open already do not change.")]

    def perform(self, *, row: ListedValue, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Ends it."""
        listed_values.end_entry(entry=row, by=request.user)
        return _("The entry has ended.")


class EffectFilter(admin.SimpleListFilter):
    """In effect, or not any more."""

    title = gettext_lazy("in effect")
    parameter_name = "effect"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """The choices."""
        return [("yes", _("yes")), ("no", _("no"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ARG002
        """The entries of the choice."""
        now = ListedValue.in_effect(timezone.now())
        return {"yes": lambda: queryset.filter(now), "no": lambda: queryset.exclude(now)}.get(
            self.value() or "", lambda: queryset
        )()


@admin.register(ListedValue)
class ListedValueAdmin(ReadOnlyAdmin):
    """The entries of both lists, the newest first."""

    form = ListedValueForm
    list_display = ["entry", "kind", "axis_name", "why", "campaign", "expires", "in_effect", "made_by"]
    list_display_links = ["entry"]
    list_filter = [EffectFilter, "kind", "axis", "campaign"]
    list_select_related = ["campaign", "made_by"]
    list_per_page = 50
    show_full_result_count = False
    row_actions = (EndEntry(),)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Unlike other read-only rows, a user with the permission may add an entry."""
        return request.user.has_perm("flashsale.add_listedvalue")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form of a new entry. A stored entry cannot be changed, so its form has no fields."""
        return super().get_form(
            request, obj, change, **(kwargs if obj is None else {**kwargs, "form": forms.ModelForm})
        )

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        """Without campaigns that are erased, and without those of test sales."""
        found = super().get_field_queryset(db, db_field, request)
        if db_field.name != "campaign":
            return found
        rows = Campaign.objects.all() if found is None else found
        return rows.filter(erased_at=None, sandbox_of=None)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """The form for a new entry; its facts for a stored one."""
        if obj is None:
            return ["campaign", "kind", "axis", "value", "channel", "why", "expires_at"]
        return ["campaign", "kind", "axis_name", "why", "made_by", "made", "expires", "ended", "in_effect"]

    @method_decorator(sensitive_post_parameters("value"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """The form. An error report never has the typed value."""
        return super().changeform_view(request, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: ARG002
        """Adds the entry."""
        data = form.cleaned_data
        made = listed_values.list_value(
            campaign=data["campaign"],
            kind=data["kind"],
            axis=Axis(data["axis"]),
            digest=data["digest"],
            why=data["why"],
            expires_at=data["expires_at"],
            by=request.user,
        )
        obj.__dict__.update(made.__dict__)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The verb has written the record."""

    @admin.display(description=gettext_lazy("entry"), ordering="pk")
    def entry(self, row: ListedValue) -> str:
        """The number by which the evidence of a case names the entry."""
        return str(row.pk)

    @admin.display(description=gettext_lazy("axis"), ordering="axis")
    def axis_name(self, row: ListedValue) -> str:
        """The axis in the reader's language."""
        return kind_label(row.axis)

    @admin.display(description=gettext_lazy("made"), ordering="made_at")
    def made(self, row: ListedValue) -> str:
        """When it was made, in the campaign's zone."""
        return local_time(row.made_at, row.campaign.zone)

    @admin.display(description=gettext_lazy("expires"), ordering="expires_at")
    def expires(self, row: ListedValue) -> str:
        """When it expires, in the campaign's zone."""
        return local_time(row.expires_at, row.campaign.zone)

    @admin.display(description=gettext_lazy("ended"), ordering="ended_at")
    def ended(self, row: ListedValue) -> str:
        """When a person has ended it, in the campaign's zone."""
        return local_time(row.ended_at, row.campaign.zone)

    @admin.display(description=gettext_lazy("in effect"), boolean=True)
    def in_effect(self, row: ListedValue) -> bool:
        """Whether a review that begins now uses it."""
        return row.ended_at is None and row.expires_at > timezone.now()
