"""Settings of the demo, the story and the bench: the product's, plus this app and the outbox page."""

from config.settings import *  # noqa: F403 - Django wants all of them as names of this module
from config.settings import INSTALLED_APPS as PRODUCT_APPS

INSTALLED_APPS = ["simulation", *PRODUCT_APPS]
ROOT_URLCONF = "simulation.urls"
FLASHSALE_OUTBOX_URL = "/outbox"
