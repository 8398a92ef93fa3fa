"""Adding a sampler, strategy, schedule, source, task, family or plugin is one file, also in somebody else's package."""

import textwrap

import pytest

from diffusionlm.context.source import SOURCES
from diffusionlm.diffusion import schedule_from_dict
from diffusionlm.diffusion.schedule import SCHEDULES
from diffusionlm.evaluation.registry import TASKS, make_task
from diffusionlm.families.family import FAMILIES
from diffusionlm.guidance.registry.plugins import PLUGINS
from diffusionlm.guidance.strategies.strategy import STRATEGIES
from diffusionlm.samplers.registry import SAMPLERS

REGISTRIES = [SAMPLERS, STRATEGIES, SCHEDULES, SOURCES, TASKS, FAMILIES, PLUGINS]
FILES = {
    "sampler": (
        SAMPLERS,
        """
        from diffusionlm.samplers.gaussian.ancestral import AncestralSampler
        from diffusionlm.samplers.registry import SAMPLERS

        @SAMPLERS.register("outside-sampler")
        class Outside(AncestralSampler):
            '''A sampler.'''
        """,
    ),
    "strategy": (
        STRATEGIES,
        """
        from dataclasses import dataclass
        from diffusionlm.guidance.strategies.strategy import STRATEGIES
        from diffusionlm.guidance.strategies.tilt import Tilt

        @STRATEGIES.register("outside-strategy")
        @dataclass(frozen=True)
        class Outside(Tilt):
            '''A strategy.'''
        """,
    ),
    "schedule": (
        SCHEDULES,
        """
        from dataclasses import dataclass
        from diffusionlm.diffusion.schedule import SCHEDULES, CosineSchedule

        @SCHEDULES.register("outside-schedule")
        @dataclass(frozen=True)
        class Outside(CosineSchedule):
            '''A schedule.'''
        """,
    ),
    "source": (
        SOURCES,
        """
        from dataclasses import dataclass
        from diffusionlm.context.source import SOURCES
        from diffusionlm.context.retrieved import Retrieved

        @SOURCES.register("outside-source")
        class Outside(Retrieved):
            '''A source.'''
        """,
    ),
    "task": (
        TASKS,
        """
        from dataclasses import dataclass
        from diffusionlm.evaluation.registry import Task, register

        @register("outside/task")
        @dataclass
        class Outside(Task):
            '''A task.'''
            count: int = 3
        """,
    ),
    "family": (
        FAMILIES,
        """
        from diffusionlm.families.family import FAMILIES, Family

        @FAMILIES.register("outside-family")
        class Outside(Family):
            '''A family.'''
            summary = "from outside"
            @classmethod
            def recognises(cls, checkpoint, choices):
                return checkpoint.model_type == "outside"
            @classmethod
            def load(cls, checkpoint, choices):
                raise ValueError("the family from outside was asked")
        """,
    ),
    "plugin": (
        PLUGINS,
        """
        from diffusionlm.guidance import Guidance, register

        @register("outside-plugin")
        class Outside(Guidance):
            '''Counts the token 3.'''
            def energy(self, state):
                return state.probs[..., 3].sum(-1)
        """,
    ),
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """One package on sys.path with a file for each kind; what it registers is forgotten afterwards."""
    lines = []
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    for kind, (registry, source) in FILES.items():
        (tmp_path / f"outside_{kind}.py").write_text(textwrap.dedent(source))
        name = "outside/task" if kind == "task" else f"outside-{kind}"
        lines += [f"[{registry.group}]", f"{name} = outside_{kind}:Outside", ""]
    info = tmp_path / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_each_is_found_by_name_and_used(tiny_pipe, tmp_path):
    for kind, (registry, _) in FILES.items():
        name = "outside/task" if kind == "task" else f"outside-{kind}"
        assert registry.available()[name].origin == f"package outside 1.0 (outside_{kind}:Outside)"
        assert registry[name].__module__ == f"outside_{kind}"
    plugin = PLUGINS["outside-plugin"](strategy="outside-strategy")
    assert plugin.how.name == "outside-strategy"
    texts = tiny_pipe("The [SPAN:3].", sampler="outside-sampler", guidance=plugin, steps=2, seed=0).texts
    assert texts == tiny_pipe("The [SPAN:3].", guidance=PLUGINS["outside-plugin"](), steps=2, seed=0).texts
    schedule = SCHEDULES["outside-schedule"]()
    assert schedule_from_dict(schedule.to_dict()) == schedule
    assert make_task("outside/task", settings={"count": 5}).count == 5
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"model_type": "outside"}')
    with pytest.raises(ValueError, match="the family from outside was asked"):
        type(tiny_pipe).from_pretrained(tmp_path / "model")
