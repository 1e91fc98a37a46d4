"""The rules: pure Python without the gate (Redis), the books (PostgreSQL), the settings and the current time."""
