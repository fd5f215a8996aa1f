"""What a stage cannot go on without."""


class WeightsLost(Exception):
    """Kept tensors of a stage, by fingerprint and name, are missing or damaged."""

    def __init__(self, fingerprint: str, name: str, message: str) -> None:
        self.fingerprint = fingerprint
        self.name = name
        super().__init__(message)
