"""Hints that something in the books may be due; Celery carries them, the rows are the work."""
