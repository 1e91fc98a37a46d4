"""Doors for the people who run sales."""
