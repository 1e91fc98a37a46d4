"""Django's admin application with our site."""

from django.contrib.admin.apps import AdminConfig


class StaffAdminConfig(AdminConfig):
    """Django's admin with our log-in."""

    default_site = "flashsale.web.staff_site.StaffSite"
