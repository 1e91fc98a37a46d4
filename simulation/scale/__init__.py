"""Faults of real engines in the middle of a sale, and what holds in each: engine × fault × rounds × promise."""
