"""Doors for shoppers and partners."""
