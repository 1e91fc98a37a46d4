"""The environment for programs that start their own servers: without the settings of the test run."""

import os

OURS = ("FLASHSALE_", "TEST_")
NAMES = {"DATABASE_URL", "REDIS_URL", "BROKER_URL", "LIMITS_URL", "EMAIL_URL", "DJANGO_SETTINGS_MODULE"}


def clean_environment() -> dict[str, str]:
    """The environment as it is in the shell of a newcomer."""
    return {name: value for name, value in os.environ.items() if name not in NAMES and not name.startswith(OURS)}
