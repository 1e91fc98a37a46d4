"""The database engine of the books: Django's engine for PostgreSQL, made safe for the promotion of a standby."""
