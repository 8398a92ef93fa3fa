"""The registry of evaluation tasks: files of ``diffusionlm/evaluation/tasks``, installed packages, the caller's own code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from diffusionlm.errors import suggestion
from diffusionlm.registry import Registry, origin_of

if TYPE_CHECKING:
    from diffusionlm.evaluation.context import Context
    from diffusionlm.evaluation.figures import TaskResult

SIZES = ("small", "full")


class Task:
    """Something that is measured of a model. A subclass is a dataclass of its settings with a method `run`::

        @register("my/task")
        @dataclass
        class MyTask(Task):
            \"\"\"How long the texts are.\"\"\"
            count: int = 32
            full = {"count": 500}

            def run(self, context):
                texts = context.unguided(self.count).texts
                return TaskResult([measure("words", "mean", [len(text.split()) for text in texts])])

    Attributes:
        name: given by the registry.
        full: settings for ``size=full``, where they differ from the defaults.
        order: tasks run from low to high.
        default: whether it is among the tasks of an evaluation that names none.
    """

    name: ClassVar[str] = ""
    full: ClassVar[Mapping[str, Any]] = {}
    order: ClassVar[int] = 50
    default: ClassVar[bool] = True

    def check(self, context: Context) -> None:
        """True if it can run, before anything does.

        Raises:
            Unavailable: something it needs is not at hand; an evaluation that did not name it leaves it out and says why.
            ValueError: a setting is wrong, or a judge is a guide.
        """

    def run(self, context: Context) -> TaskResult:
        """Measures; what it lets `context` write is kept when it is interrupted."""
        raise TypeError(f"The task {self.name!r} ({type(self).__name__}) does not define run(self, context).")

    def work(self, context: Context) -> tuple[float, int]:
        """About how many samples it writes, and how many texts the judge reads; for the estimate of the time."""
        return 0.0, 0

    def settings(self) -> dict[str, Any]:
        """All settings, for the record."""
        return {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]


class Unavailable(ValueError):
    """A task needs something that is not at hand: data, a plugin, a package."""


def _on_contract(kind: type, name: str) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Task) and "__dataclass_fields__" in kind.__dict__):
        raise TypeError(
            f"The task {name!r} must be a dataclass that derives from Task; put @dataclass below @register."
        )


TASKS = Registry(
    "task", "diffusionlm.evaluation.tasks", "register", validate=_on_contract, group="diffusionlm.evaluation"
)
register = TASKS.register


def available() -> dict[str, type[Task]]:
    """All tasks by name, in the order in which they run."""
    return dict(sorted(TASKS.items(), key=lambda item: (item[1].order, item[0])))


def make_task(name: str, size: str = "small", settings: Mapping[str, Any] | None = None) -> Task:
    """A task with the settings of a size, some of them changed.

    Raises:
        ValueError: there is no such task, size or setting; the message has the nearest one.
        TypeError: a setting of the class has no default.
    """
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(SIZES)}, got {size!r}.")
    kind = TASKS.find(name)
    defaults: dict[str, Any] = {}
    for item in fields(kind):
        if item.default is not MISSING:
            defaults[item.name] = item.default
        elif item.default_factory is not MISSING:
            defaults[item.name] = item.default_factory()
        else:
            raise TypeError(f"The setting {item.name!r} of the task {name!r} ({origin_of(kind)}) needs a default.")
    given = {key: value for key, value in (settings or {}).items() if value is not None}
    for key in settings or {}:
        if key not in defaults:
            raise ValueError(f"The task {name!r} has no setting {key!r}; {suggestion(key, defaults)}")
    for key, value in given.items():
        _check_type(f"{key} of the task {name!r}", value, defaults[key])
    return kind(**(defaults | (dict(kind.full) if size == "full" else {}) | given))


def _check_type(what: str, value: Any, default: Any) -> None:
    if isinstance(default, bool) or default is None:
        return
    if isinstance(default, int) and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(f"{what} must be a whole number of at least 0, got {value!r}.")
    if isinstance(default, list | tuple) and not isinstance(value, list | tuple):
        raise ValueError(f"{what} must be a list, as in [{value!r}].")


@dataclass
class Planned:
    """A task that an evaluation asked for: ready to run, or left out with the reason."""

    name: str
    task: Task
    left_out: str = ""
