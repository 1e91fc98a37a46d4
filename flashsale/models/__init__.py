"""The books: what is true for ever, in PostgreSQL."""
