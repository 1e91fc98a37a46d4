"""Demo, story, simulated crowds and measurements: a Django app for development, not in the production image."""
