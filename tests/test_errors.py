"""Every error that tells a user what to do derives from UserError, so that one `except` shows them all."""

import ast
import builtins
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Errors that are not for users to act on, each with its purpose.
OTHERS = {
    "UserError": "is the base",
    "Diverged": "is a result: the loss of a training is no longer finite",
    "Interrupted": "ends a training that goes on later",
    "WeightsLost": "lets the stage that made the weights be trained again",
    "TomlError": "is the reason that a StudyError gives",
    "Damaged": "is the reason that an ArtifactError gives",
    "CannotBeBuilt": "is the reason that a DesignRefused gives",
    "NotRecorded": "has a training's work called in place of a CUDA graph, of which pages say why",
    "EventError": "is logged by the recorder, which sets the event aside",
    "LeaseLost": "ends the training of a stage that another worker has now",
    "StageCancelled": "ends the training of a stage that nobody wants any more",
    "Stopped": "ends the command run with a message of its own",
    "Busy": "is put in words by the login page, and that of the lock by DatabaseBusy",
    "Refused": "is a lost connection to clients of Redis, which BrokerError puts in words",
}


def bases() -> dict[str, set[str]]:
    """Return the names of the base classes of every class of the four floors, by name of the class."""
    by_class: dict[str, set[str]] = {}
    for floor in ("engine", "data", "tasks", "app"):
        for file in (ROOT / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef):
                    names = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                    by_class.setdefault(node.name, set()).update(names)
    return by_class


def ancestors(name: str, of: dict[str, set[str]]) -> set[str]:
    """Return the names of a class and of all classes that it derives from."""
    return {name}.union(*(ancestors(base, of) for base in of.get(name, ()) if base != name))


def test_every_error_with_a_message_for_users_is_a_user_error() -> None:
    of = bases()
    builtin = {name for name, value in vars(builtins).items() if isinstance(value, type)}
    exceptions = {name for name in builtin if issubclass(getattr(builtins, name), BaseException)}
    errors = {name for name in of if not name.startswith("_") and ancestors(name, of) & exceptions}
    assert len(errors) > 20
    assert {name for name in errors if "UserError" not in ancestors(name, of) - {name}} == set(OTHERS)
