"""The newer checks of `manage.py doctor`, by what they look at. The list of all is in `doctor_checks`."""
