#!/usr/bin/env python
"""Runs the project's commands: `python manage.py help` lists them."""

import os
import sys
from importlib.util import find_spec

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

# The commands of `simulation/`, which need its settings. Those in DEMO start their own servers with secrets that a demo
# makes. All other commands, doctor too, run under the product's settings.
SIMULATION = ("run", "story", "bench", "simulate", "scale", "crowd", "judge_review", "pay", "rehearse")
DEMO = SIMULATION[:5]

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in SIMULATION and find_spec("simulation"):
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simulation.settings")
        if sys.argv[1] in DEMO:
            os.environ.setdefault("FLASHSALE_DEMO", "1")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # After the environment is set, because config imports Celery, which reads it.
    from config.production import UnsafeInProduction
    from config.secrets import SecretsMissing

    try:
        execute_from_command_line(sys.argv)
    except (SecretsMissing, UnsafeInProduction, ImproperlyConfigured) as error:
        sys.exit(str(error))
