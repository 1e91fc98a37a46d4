"""Checks of `manage.py doctor`, a file for each part of the installation. `doctor_checks` lists all of them."""
