"""Demo, story, simulated crowds and measurements. A Django app for development; the production image leaves it out."""
