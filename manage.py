#!/usr/bin/env python
"""Commands of the project: `python manage.py help`."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # These bring what they need or tell what is missing; any other command acts on a system that is set up.
    if sys.argv[1:2] in (["run"], ["story"], ["doctor"], ["bench"], ["simulate"]):
        os.environ.setdefault("FLASHSALE_DEMO", "1")
    execute_from_command_line(sys.argv)
