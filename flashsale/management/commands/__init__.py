"""The commands of `python manage.py NAME`, one file each."""
