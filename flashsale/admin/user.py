"""Staff: who has which role, which campaigns and a second factor; switch a person off, reset a lost device.

Only superusers change users and groups, because a user who could change them could give itself every right.
"""

from collections.abc import Sequence
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Model, OuterRef
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from flashsale.admin.action_page import Action, ActionAdmin
from flashsale.admin.inline import EditedInline
from flashsale.admin.row_form import RowForm
from flashsale.life import staff_accounts
from flashsale.life.staff_session import demand_fresh_proof, factor_of
from flashsale.models import StaffCampaign

# No user has this permission, and superusers have all.
SUPERUSERS = "auth.superuser"

admin.site.unregister(User)
admin.site.unregister(Group)


class _BySuperusers(RowForm):
    """Pages that others may read with the permission to view, and that only superusers change, after a fresh proof."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:  # noqa: ARG002
        """For superusers."""
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """For superusers."""
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """For superusers."""
        return bool(request.user.is_superuser)

    def _may_change(self, request: HttpRequest) -> bool:
        return self.has_change_permission(request)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form. A change needs a fresh proof."""
        if request.method == "POST":
            demand_fresh_proof(request)
        return super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The page before a deletion, which needs a fresh proof."""
        demand_fresh_proof(request)
        return super().delete_view(request, *args, **kwargs)


class _StaffAction(Action):
    """An action on one user."""

    permission = SUPERUSERS


class SwitchOff(_StaffAction):
    """active → switched off."""

    name = "switch-off"
    title = gettext_lazy("Switch off")

    def is_available(self, row: User) -> bool:
        """For an active user."""
        return row.is_active

    def consequences(self, rows: Sequence[User]) -> list[str]:  # noqa: ARG002
        """What ends."""
        return [
            _("The person cannot log in any more. All sessions of the person end with their next request."),
            _("What the person has decided stays. You can switch the person on again."),
        ]

    def perform(self, *, row: User, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Switches the user off. Raises ValidationError for the own account."""
        staff_accounts.switch_off(user=row, by=request.user)
        return _("%(user)s is switched off.") % {"user": row}


class SwitchOn(_StaffAction):
    """switched off → active."""

    name = "switch-on"
    title = gettext_lazy("Switch on")
    needs_proof = True

    def is_available(self, row: User) -> bool:
        """For a user who is switched off."""
        return not row.is_active

    def consequences(self, rows: Sequence[User]) -> list[str]:  # noqa: ARG002
        """What begins."""
        return [_("The person can log in again, with the same roles and devices. Earlier sessions stay over.")]

    def perform(self, *, row: User, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Switches the user on."""
        staff_accounts.switch_on(user=row, by=request.user)
        return _("%(user)s is switched on.") % {"user": row}


class ResetSecondFactor(_StaffAction):
    """Removes the devices of a person who has lost one."""

    name = "reset-second-factor"
    title = gettext_lazy("Reset the second factor")
    needs_proof = True

    def is_available(self, row: User) -> bool:
        """For a user with a device or a linked identity."""
        found = (table.objects.filter(user=row).exists() for table in (Authenticator, SocialAccount))
        return any(found)

    def consequences(self, rows: Sequence[User]) -> list[str]:  # noqa: ARG002
        """What the person does next."""
        return [
            _(
                "All devices, recovery codes, linked identities and the calendar link of the person are removed, and "
                "all sessions end."
            ),
            _("Until a new device is added, the password alone logs in. Be sure that it is the person who asks you."),
        ]

    def perform(self, *, row: User, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Removes them. Raises ValidationError for the own account."""
        count = staff_accounts.reset_second_factor(user=row, by=request.user)
        text = ngettext("%(count)d entry was removed.", "%(count)d entries were removed.", count)
        return text % {"count": count}


class CampaignInline(EditedInline):
    """The campaigns that the user is limited to."""

    model = StaffCampaign
    verbose_name_plural = gettext_lazy("campaigns that the user may see (none: all)")


@admin.register(User)
class StaffUserAdmin(_BySuperusers, ActionAdmin, UserAdmin):
    """Users of the admin."""

    not_by_form = ("last_login",)
    readonly_fields = ("last_login", "date_joined")
    list_display = ("username", "roles", "campaigns", "second_factor", "is_superuser", "is_active", "last_login")
    inlines = (CampaignInline,)
    row_actions = (SwitchOff(), SwitchOn(), ResetSecondFactor())
    # The roles stand first. A role has all that its work needs, so single permissions are folded.
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (gettext_lazy("Roles"), {"fields": ("groups",)}),
        (gettext_lazy("Access"), {"fields": ("is_active", "is_staff", "is_superuser")}),
        (gettext_lazy("Person"), {"fields": ("first_name", "last_name", "email", "last_login", "date_joined")}),
        (gettext_lazy("Single permissions, besides those of the roles"), {
            "fields": ("user_permissions",), "classes": ("collapse",),
        }),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        """Adds whether each user has a second factor."""
        users = super().get_queryset(request).prefetch_related("groups", "staff_campaigns__campaign")
        return users.annotate(has_device=factor_of(OuterRef("pk")))

    def get_inlines(self, request: HttpRequest, obj: User | None) -> list[Any]:  # noqa: ARG002
        """None for a new user, who has no page yet."""
        return [CampaignInline] if obj else []

    def edited_rows(self, row: Any) -> list[Model]:
        """The user, and the campaigns of the user."""
        return [*super().edited_rows(row), *StaffCampaign.objects.filter(user=row).order_by("pk")]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Saves the user. A user who is switched off here has no session left."""
        super().save_model(request, obj, form, change)
        if change and not obj.is_active and "is_active" in form.changed_data:
            staff_accounts.end_sessions(obj)

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Django's page. It needs a fresh proof before anything is typed, and says what a new password leaves."""
        demand_fresh_proof(request)
        response = super().user_change_password(request, *args, **kwargs)
        user = self.get_object(request, str(args[0] if args else kwargs["id"]))
        if (
            isinstance(response, HttpResponseRedirect)
            and user
            and (left := staff_accounts.left_after_new_password(user))
        ):
            text = _("These still work: %(left)s. If a stranger may have them, reset the second factor, too.")
            self.message_user(request, text % {"left": ", ".join(left)}, messages.WARNING)
        return response

    @admin.display(description=gettext_lazy("roles"))
    def roles(self, user: User) -> str:
        """The groups of the user."""
        return ", ".join(group.name for group in user.groups.all()) or "–"

    @admin.display(description=gettext_lazy("campaigns"))
    def campaigns(self, user: User) -> str:
        """The campaigns that the user is limited to."""
        names = [str(row.campaign) for row in user.staff_campaigns.all()]
        return ", ".join(names) if names and not user.is_superuser else _("all")

    @admin.display(description=gettext_lazy("second factor"), boolean=True)
    def second_factor(self, user: User) -> bool:
        """Whether the user has an authenticator app, a passkey, or an identity that counts as both."""
        return bool(getattr(user, "has_device", False))


@admin.register(Group)
class RoleAdmin(_BySuperusers, GroupAdmin):
    """Groups: the roles that `manage.py roles` makes."""
