"""A clock that stands still."""


class Clock:
    """Stands still until a test moves it, so that no message comes back by itself."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
