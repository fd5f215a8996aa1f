"""The study files that the New study form can start from."""

from dataclasses import dataclass
from pathlib import Path

from engine.study.spec import Study, load_study

STUDIES = Path(__file__).resolve().parents[2] / "studies"


@dataclass(frozen=True)
class Preset:
    """A study file to start from; name: in its path and in addresses, command: its name on the command line."""

    name: str
    title: str
    about: str
    command: str

    def study(self) -> Study:
        """Return the preset's study; StudyError if its file is damaged or missing."""
        return load_study(STUDIES / f"{self.name}.toml")


PRESETS: tuple[Preset, ...] = (
    Preset(
        "demo",
        "Demo",
        "Handwritten digits, bundled: both learning rates, four starts, three seeds. Two minutes at most on two cores.",
        "demo",
    ),
    Preset(
        "small_cifar10",
        "Small CIFAR-10",
        "2,000 images, ResNet-20, few epochs: a first look at real images on a laptop. Needs CIFAR-10.",
        "studies/small_cifar10.toml",
    ),
    Preset(
        "paper_resnet20_cifar10",
        "Paper recipe",
        "ResNet-20 on CIFAR-10 as in the paper: 150 epochs, five seeds, three pruners. Made for GPUs.",
        "studies/paper_resnet20_cifar10.toml",
    ),
)


def preset(name: str | None) -> Preset | None:
    """Return the preset of a name, None for an unknown one."""
    return next((preset for preset in PRESETS if preset.name == name), None)
