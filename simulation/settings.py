"""Settings of the demo, the story and the bench: the product's settings, plus this app and its outbox page."""

from config.settings import *  # noqa: F403 - Django reads all settings as names of this module
from config.settings import INSTALLED_APPS as PRODUCT_APPS

INSTALLED_APPS = ["simulation", *PRODUCT_APPS]
ROOT_URLCONF = "simulation.urls"
FLASHSALE_OUTBOX_URL = "/outbox"
