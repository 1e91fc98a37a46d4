"""The Django app of the demo, the story and the bench. Only `simulation.settings` installs it."""

from django.apps import AppConfig


class SimulationConfig(AppConfig):
    """Simulated people, servers on this machine, and the commands that start them."""

    name = "simulation"
    verbose_name = "Simulation"
