"""The Django application of demo, story and bench; only `simulation.settings` installs it."""

from django.apps import AppConfig


class SimulationConfig(AppConfig):
    """Simulated people, servers on this machine, and the commands that use them."""

    name = "simulation"
    verbose_name = "Simulation"
