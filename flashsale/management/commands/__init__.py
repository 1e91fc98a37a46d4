"""Commands: `python manage.py NAME`."""
