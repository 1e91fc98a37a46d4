"""What may go wrong with a call to an external service, in two words that decide what may be done next."""


class ProviderDown(Exception):
    """The provider did not answer, so what happened is not known. Look, or make the same call again."""


class ProviderBusy(ProviderDown):
    """The provider takes no more calls now: nothing happened. `after` is how many seconds to wait."""

    def __init__(self, after: float = 1.0) -> None:
        super().__init__(after)
        self.after = after
