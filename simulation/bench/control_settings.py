"""Settings of the control: the project's, with the control's URLs. It has no middleware, which makes it faster."""

from simulation.settings import *  # noqa: F403 - Django reads all settings as names of this module

ROOT_URLCONF = "simulation.bench.control"
MIDDLEWARE = []
