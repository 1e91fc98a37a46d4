"""The environment for programs that bring everything themselves: without the settings of the test run."""

import os

OURS = ("FLASHSALE_", "TEST_")
NAMES = {"DATABASE_URL", "REDIS_URL", "BROKER_URL", "LIMITS_URL", "EMAIL_URL", "DJANGO_SETTINGS_MODULE"}


def bare() -> dict[str, str]:
    """The environment as a newcomer's shell has it."""
    return {name: value for name, value in os.environ.items() if name not in NAMES and not name.startswith(OURS)}
