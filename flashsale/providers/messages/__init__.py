"""Senders of messages to people: one-time codes."""
