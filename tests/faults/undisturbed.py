"""What a study is compared with after faults: the same study, left alone."""

from engine.results import StageResult


def numbers(result: StageResult | None) -> object:
    """Return what a result says, but for the clock."""
    assert result is not None
    values = result.to_json()
    return [epoch[:6] for epoch in values["epochs"]], values["overlaps"], values["sparsity"]
