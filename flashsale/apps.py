"""The one Django application of the project."""

from django.apps import AppConfig


class FlashsaleConfig(AppConfig):
    """Doors, life, gate and books of flash sales."""

    name = "flashsale"
    verbose_name = "Flash sales"
    default_auto_field = "django.db.models.BigAutoField"
