"""What writes many rows of PostgreSQL at once, in few statements; `models/` holds the tables alone."""
