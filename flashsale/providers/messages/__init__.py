"""Messages to people: one-time codes."""
