"""Management commands, and the checks of `manage.py doctor`."""
