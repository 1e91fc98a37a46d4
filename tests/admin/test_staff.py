"""Who works here: roles, campaigns, second factors; a person is switched off at once, a lost device is reset."""

from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from flashsale.life import calendar_feed, review, staff_accounts
from flashsale.management.commands.roles import ROLES, missing_permissions
from flashsale.models import CalendarLink, Record, Sale, StaffCampaign
from flashsale.rules.states import CaseState, SaleState
from tests.admin.forms import form_values, messages_on, submit
from tests.admin.orders import buy
from tests.factories import PHONE, draft_sale, lobby_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def action(name: str, user: User) -> str:
    return reverse(f"admin:flashsale_user_{name}") + f"?id={user.pk}"


def test_the_list_says_who_has_which_role_campaigns_and_second_factor(
    root: Client, alice: Client, dave: Client
) -> None:
    user = User.objects.get(username="alice")
    StaffCampaign.objects.create(user=user, campaign=poco_campaign(name="Only this one"))
    TOTP.activate(user, generate_totp_secret())
    page = root.get("/admin/auth/user/")
    text = page.content.decode()
    rows = {row.username: (row.has_device, [str(one.campaign) for one in row.staff_campaigns.all()])
            for row in page.context["cl"].result_list}  # fmt: skip
    assert rows == {"root": (False, []), "alice": (True, ["Only this one"]), "dave": (False, [])}
    assert "scheduler" in text
    assert "Only this one" in text
    assert dave.get("/admin/auth/user/").status_code == 403


def test_a_person_who_is_switched_off_is_out_with_the_next_request_and_old_sessions_stay_over(
    root: Client, alice: Client
) -> None:
    user = User.objects.get(username="alice")
    assert alice.get("/admin/").status_code == 200
    page = submit(root, action("switch-off", user))
    assert messages_on(page) == ["alice is switched off."]
    assert alice.get("/admin/flashsale/sale/").status_code == 302
    submit(root, action("switch-on", user))
    # The cookie of before does not come back to life.
    assert alice.get("/admin/flashsale/sale/").status_code == 302
    again = Client()
    again.force_login(User.objects.get(pk=user.pk))
    assert again.get("/admin/flashsale/sale/").status_code == 200
    # The form does the same.
    values = {"is_active": ""}
    url = reverse("admin:auth_user_change", args=[user.pk])
    page = root.get(url)
    sent = {name: value for name, value in form_values(page).items() if name not in values}
    assert root.post(url, sent, follow=True).status_code == 200
    assert User.objects.get(pk=user.pk).is_active is False
    staff_accounts.switch_on(user=user, by=None)
    assert again.get("/admin/flashsale/sale/").status_code == 302
    whats = list(Record.objects.filter(subject=f"user:{user.pk}").order_by("position").values_list("what", flat=True))
    assert whats == ["switch_off", "switch_on", "change", "switch_on"]


def test_a_lost_device_is_reset_by_another_superuser_and_logged(root: Client, make_user: Any) -> None:
    make_user("sri", "scheduler")
    user, me = User.objects.get(username="sri"), User.objects.get(username="root")
    for person in (user, me):
        TOTP.activate(person, generate_totp_secret())
    SocialAccount.objects.create(user=user, provider="oidc", uid="stranger")
    page = submit(root, action("reset-second-factor", user))
    assert messages_on(page) == ["2 entries were removed."]
    assert not SocialAccount.objects.exists()
    assert list(Authenticator.objects.values_list("user__username", flat=True)) == ["root"]
    record = Record.objects.get(what="reset_factor")
    assert (record.who, record.subject, record.facts) == (
        f"staff:{me.pk}",
        f"user:{user.pk}",
        '{"kinds":["totp","identity"]}',
    )
    for verb in (staff_accounts.reset_second_factor, staff_accounts.switch_off):
        with pytest.raises(ValidationError, match="Another superuser"):
            verb(user=me, by=me)
    assert (User.objects.get(pk=me.pk).is_active, Authenticator.objects.count()) == (True, 1)
    with pytest.raises(CommandError, match=r"no member of staff with the name 'srii'\. There are: .*root"):
        call_command("reset_second_factor", "srii")
    assert Authenticator.objects.count() == 1
    call_command("reset_second_factor", "root")
    assert Authenticator.objects.count() == 0
    assert Record.objects.filter(what="reset_factor", subject=f"user:{me.pk}").exists()


def test_a_new_password_by_a_superuser_says_what_still_works_and_a_reset_ends_that_too(
    root: Client, make_user: Any
) -> None:
    make_user("sri", "scheduler")
    user = User.objects.get(username="sri")
    url = reverse("admin:auth_user_password_change", args=[user.pk])
    typed = {"password1": "teh-manis-88", "password2": "teh-manis-88", "usable_password": "true"}
    assert not any("still work" in text for text in messages_on(submit(root, url, **typed)))
    TOTP.activate(user, generate_totp_secret())
    SocialAccount.objects.create(user=user, provider="oidc", uid="stranger")
    calendar_feed.make_link(user=user, drafts=False, seen="")
    texts = messages_on(submit(root, url, **typed))
    assert (
        "These still work: 1 devices and sets of recovery codes, 1 linked identities, 1 calendar links. If a stranger "
        "may have them, reset the second factor, too."
    ) in texts
    submit(root, action("reset-second-factor", user))
    assert not CalendarLink.objects.exists()
    calendar_feed.make_link(user=user, drafts=False, seen="")
    submit(root, action("switch-off", user))
    submit(root, action("switch-on", user))
    assert not CalendarLink.objects.exists(), "a link does not come back with its person"


def test_the_page_of_a_user_begins_with_the_roles_and_folds_single_permissions(root: Client, alice: Client) -> None:
    user = User.objects.get(username="alice")
    page = root.get(reverse("admin:auth_user_change", args=[user.pk]))
    html = page.content.decode()
    assert html.index('id="id_groups"') < html.index('id="id_is_superuser"') < html.index("<details") < html.index(
        'id="id_user_permissions"'
    )  # fmt: skip
    permission = Permission.objects.get(codename="view_record")
    saved = root.post(page.wsgi_request.path, form_values(page) | {"user_permissions": [str(permission.pk)]})
    assert saved.status_code == 302
    assert (list(user.user_permissions.all()), user.groups.get().name) == ([permission], "scheduler")


def test_only_superusers_change_users_and_groups(root: Client, alice: Client) -> None:
    user = User.objects.get(username="alice")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="auth"))
    group = Group.objects.get(name="viewer")
    assert alice.get("/admin/auth/user/").status_code == 200
    for url in (
        "/admin/auth/user/add/",
        action("switch-off", User.objects.get(username="root")),
        reverse("admin:auth_user_password_change", args=[user.pk]),
        reverse("admin:auth_user_delete", args=[user.pk]),
        reverse("admin:auth_group_delete", args=[group.pk]),
    ):
        assert alice.post(url, {"is_superuser": "on"}).status_code == 403, url  # fmt: skip
    for url in (reverse("admin:auth_user_change", args=[user.pk]), reverse("admin:auth_group_change", args=[group.pk])):
        assert alice.post(url, {"username": "alice", "is_superuser": "on"}).status_code == 403, url
    assert User.objects.filter(is_superuser=True).count() == 1


def test_each_role_may_do_its_work_and_no_more(make_user: Callable[..., Client]) -> None:
    clients = {role: make_user(role, role) for role in ROLES}
    sale = lobby_sale(stock={PHONE: 2})
    (order,) = buy(sale, ["ani"])
    case = review.open_case(reservation=order)
    draft = draft_sale(sale.campaign)
    urls = {
        "publish": reverse("admin:flashsale_sale_publish") + f"?id={draft.pk}",
        "pause": reverse("admin:flashsale_sale_pause") + f"?id={sale.pk}",
        "edit": reverse("admin:flashsale_sale_add"),
        "propose": reverse("admin:flashsale_case_propose") + f"?id={case.pk}",
        "approve": reverse("admin:flashsale_case_approve") + f"?id={case.pk}",
        "trail": "/admin/flashsale/record/",
        "staff": "/admin/auth/user/",
    }
    may = {role: {name for name, url in urls.items() if client.get(url).status_code == 200}
           for role, client in clients.items()}  # fmt: skip
    assert may == {
        "viewer": {"trail"},
        "planner": {"trail", "edit"},
        "scheduler": {"trail", "edit", "publish", "pause"},
        "publisher": {"trail", "publish", "pause"},
        "reviewer": {"trail", "propose", "approve"},
        "approver": {"trail", "approve"},
        "finance": {"trail"},
        "support": {"trail"},
        "auditor": {"trail", "staff"},
    }
    transfers = {role for role, client in clients.items()
                 if client.post(reverse("admin:flashsale_refund_transfers")).status_code == 200}  # fmt: skip
    assert transfers == {"reviewer", "finance"}
    contact = reverse("admin:flashsale_reservation_change", args=[order.pk])
    assert {role for role, client in clients.items() if "Jl. Mawar" in client.get(contact).content.decode()} == {
        "reviewer", "approver", "support",
    }  # fmt: skip
    assert (Sale.objects.get(pk=draft.pk).state, case.state) == (SaleState.DRAFT, CaseState.OPEN)


def test_the_command_repairs_the_roles(db: Any) -> None:
    call_command("roles")
    assert missing_permissions() == {}
    Group.objects.get(name="publisher").permissions.clear()
    Group.objects.get(name="auditor").delete()
    assert set(missing_permissions()) == {"publisher", "auditor"}
    call_command("roles")
    assert missing_permissions() == {}
