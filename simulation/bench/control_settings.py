"""Settings of the control: the project's, with the control's addresses and without middleware, in its favour."""

from simulation.settings import *  # noqa: F403 - Django wants all of them as names of this module

ROOT_URLCONF = "simulation.bench.control"
MIDDLEWARE = []
