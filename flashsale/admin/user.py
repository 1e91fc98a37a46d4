"""Users and groups: Django's own pages, with the same guards as our pages."""

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User

from flashsale.admin.visible_lookups import VisibleLookups

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class StaffUserAdmin(VisibleLookups, UserAdmin):
    """Users of the admin."""


@admin.register(Group)
class RoleAdmin(VisibleLookups, GroupAdmin):
    """Groups: the roles that `manage.py roles` makes."""
