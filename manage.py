#!/usr/bin/env python
"""Commands of the project: `python manage.py help`."""

import os
import sys
from importlib.util import find_spec

from django.core.management import execute_from_command_line

# The commands of the simulation. Those of a demo start servers of their own, with secrets that they make.
SIMULATION = ("run", "story", "bench", "simulate", "crowd", "judge_review", "pay")
DEMO = SIMULATION[:4]

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in SIMULATION and find_spec("simulation"):
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "simulation.settings")
        if sys.argv[1] in DEMO:
            os.environ.setdefault("FLASHSALE_DEMO", "1")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from config.secrets import SecretsMissing  # after the environment: config imports Celery, which reads it

    try:
        execute_from_command_line(sys.argv)
    except SecretsMissing as error:
        sys.exit(str(error))
