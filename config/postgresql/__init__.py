"""The engine of the books: Django's for PostgreSQL, for a server that its standby may replace at any time."""
