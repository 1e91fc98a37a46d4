"""Users and groups: Django's own pages, with the same guards as our pages."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User

from flashsale.admin.row_form import RowForm

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class StaffUserAdmin(RowForm, UserAdmin):
    """Users of the admin."""

    not_by_form = ("last_login",)
    readonly_fields = ("last_login", "date_joined")


@admin.register(Group)
class RoleAdmin(RowForm, GroupAdmin):
    """Groups: the roles that `manage.py roles` makes."""
