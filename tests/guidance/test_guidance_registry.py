"""The registry: names, origins, discovery without importing, and refusals that name both places."""

import re
import subprocess
import sys
import textwrap
from importlib import metadata

import pytest

from diffusionlm.guidance import Guidance, Phrases, UnknownPlugin, get, register
from diffusionlm.guidance.registry import plugins

pytestmark = pytest.mark.usefixtures("clean_registry")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package with entry points on sys.path: ``installed(name, {entry: value}, source)``."""

    def install(package, points, source):
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        info = tmp_path / f"{module}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        lines = "\n".join(f"{name} = {value}" for name, value in points.items())
        (info / "entry_points.txt").write_text(f"[diffusionlm.guidance]\n{lines}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


GOOD = """
from diffusionlm.guidance import Guidance, register

@register("{name}")
class Loud(Guidance):
    '''Counts capitals, loudly.'''
    def energy(self, state):
        return state.probs[..., 3].sum(-1)
"""


def test_a_registered_class_is_found_by_its_name_and_knows_it():
    @register("quiet")
    class Quiet(Guidance):
        def energy(self, state):
            return state.probs[..., 0].sum(-1)

    assert get("quiet") is Quiet
    assert Quiet.name == "quiet"
    assert plugins.available()["quiet"].origin.startswith(__file__)


def test_a_function_can_be_registered_and_takes_the_common_settings():
    @register("no-zeros")
    def no_zeros(state):
        """Fewer zeros."""
        return state.probs[..., 0].sum(-1)

    plugin = get("no-zeros")(weight=2.0)
    assert (plugin.title, plugin.weight) == ("no-zeros", 2.0)
    assert plugins.available()["no-zeros"].origin.startswith(__file__)


def test_a_second_plugin_of_one_name_is_refused_and_both_places_are_named():
    @register("twice")
    class First(Guidance):
        def energy(self, state):
            return state.probs.sum((1, 2))

    with pytest.raises(ValueError, match=r"'twice' is taken: .*:\d+ has it, and .*:\d+ wants it") as caught:

        @register("twice")
        class Second(Guidance):
            def energy(self, state):
                return state.probs.sum((1, 2))

    assert str(caught.value).count(__file__) == 2
    assert get("twice") is First


def test_the_name_of_a_built_in_file_is_taken_before_it_was_ever_imported():
    code = (
        "from diffusionlm.guidance import Guidance, register\n"
        "class Mine(Guidance):\n"
        "    def energy(self, state): return state.probs.sum((1, 2))\n"
        "try: register('phrases')(Mine)\n"
        "except ValueError as error: print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'phrases' is taken" in out.stdout
    assert "phrases.py:" in out.stdout


def test_running_the_same_definition_again_replaces_it():
    for _ in range(2):

        @register("cell")
        class Cell(Guidance):
            def energy(self, state):
                return state.probs.sum((1, 2))

    assert get("cell") is Cell


def test_built_in_plugins_are_listed_without_importing_them():
    code = (
        "import sys\nfrom diffusionlm.guidance import available\n"
        "names = list(available())\n"
        "print(names, [m for m in ('diffusionlm.guidance.phrases', 'diffusionlm.guidance.classifier') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'phrases'" in out
    assert out.strip().endswith("[]")
    assert get("phrases") is Phrases


def test_typos_get_the_nearest_name():
    with pytest.raises(UnknownPlugin, match="no guidance plugin 'regexp'; did you mean 'regex'"):
        get("regexp")
    with pytest.raises(UnknownPlugin, match="there are: bigrams, choice, classifier, "):
        get("zzz")


@pytest.mark.parametrize("name", ["", "Loud", "a b", 3])
def test_malformed_names_are_refused(name):
    with pytest.raises(ValueError, match="lower-case words joined by hyphens"):
        register(name)


def energy_of_wrong_arguments(self):
    return None


def bind_of_wrong_arguments(self, vocabulary, extra):
    return None


def energy(self, state):
    return state.probs.sum((1, 2))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, r"lacks the method energy\(self, state\)"),
        ({"energy": energy_of_wrong_arguments}, "energy must take one argument besides self"),
        ({"energy": energy, "bind": bind_of_wrong_arguments}, "bind must take one argument besides self; it takes"),
        ({"energy": energy, "api_version": 99}, "version 99 of the contract, this library has 1; upgrade"),
        ({"energy": energy, "reads": ("logits",)}, "reads must be a tuple out of"),
        ({"energy": energy, "reads": "probs"}, "reads must be a tuple out of"),
        ({"energy": energy, "strategy": "tilded"}, "strategy: There is no strategy 'tilded'; did you mean 'tilt'"),
    ],
    ids=lambda value: None if isinstance(value, dict) else value[:24],
)
def test_a_class_off_the_contract_is_refused_at_registration(body, message):
    kind = type("Off", (Guidance,), body)
    with pytest.raises(TypeError, match=message):
        register("off")(kind)
    assert "off" not in plugins.available()


def test_what_is_no_plugin_cannot_be_registered():
    with pytest.raises(TypeError, match="must be a subclass"):
        register("number")(int)
    with pytest.raises(TypeError, match="must take one argument, the state"):
        register("nullary")(lambda: 0)


def test_installed_packages_are_found_by_entry_point_and_loaded_when_asked_for(installed):
    installed("loud-plugin", {"loud": "loud_plugin:Loud"}, GOOD.format(name="loud"))
    assert "loud_plugin" not in sys.modules
    assert plugins.available()["loud"].origin == "package loud-plugin 1.2 (loud_plugin:Loud)"
    assert "loud_plugin" not in sys.modules
    assert get("loud").__name__ == "Loud"
    sys.modules.pop("loud_plugin")


def test_packages_are_read_once_until_one_is_installed(installed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    reads = []
    entry_points = metadata.entry_points
    monkeypatch.setattr(metadata, "entry_points", lambda **group: reads.append(group) or entry_points(**group))
    assert "late" not in plugins.available()
    assert "late" not in plugins.available()
    assert len(reads) == 1
    with monkeypatch.context() as same_path:  # into a folder that was on the path before
        same_path.setattr(monkeypatch, "syspath_prepend", lambda path: None)
        installed("late-plugin", {"late": "late_plugin:Loud"}, GOOD.format(name="late"))
    assert "late" in plugins.available()
    assert len(reads) == 2


def test_a_package_that_fails_to_import_is_reported_and_the_others_work(installed):
    installed("broken-plugin", {"broken": "broken_plugin:Missing"}, "raise RuntimeError('no licence')")
    with pytest.raises(ImportError, match="'broken' from package broken-plugin 1.2 .* RuntimeError: no licence"):
        get("broken")
    assert "no licence" in plugins.problems()["broken"]
    assert get("phrases") is Phrases


def test_two_packages_with_one_name_are_both_named_and_the_others_work(installed):
    installed("one-plugin", {"same": "one_plugin:Loud"}, GOOD.format(name="same"))
    installed("two-plugin", {"same": "two_plugin:Loud"}, GOOD.format(name="same"))
    with pytest.raises(ValueError, match="one-plugin.*two-plugin|two-plugin.*one-plugin"):
        get("same")
    assert "is taken" in plugins.problems()["same"]
    assert get("regex").__name__ == "Regex"


def test_a_package_cannot_take_the_name_of_a_built_in(installed):
    installed("regex-plugin", {"regex": "regex_plugin:Loud"}, GOOD.format(name="other"))
    with pytest.raises(ValueError, match=r"regex.py:\d+ has it, and package regex-plugin"):
        get("regex")


def test_a_plugin_in_a_folder_is_found_with_its_module(tmp_path):
    (tmp_path / "loud").mkdir()
    (tmp_path / "loud" / "plugin.py").write_text(GOOD.format(name="loud"))
    entry = plugins.PLUGINS.files_in(tmp_path, "somewhere")["loud"]
    assert entry.target == "somewhere.loud.plugin:Loud"
    assert re.fullmatch(r".*loud.plugin\.py:\d+", entry.origin)


def test_two_files_with_one_name_are_both_named(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(GOOD.format(name="same"))
    with pytest.raises(ValueError, match=r"a.py:\d+ has it, and .*b.py:\d+ wants it"):
        plugins.PLUGINS.files_in(tmp_path, "somewhere")


def test_a_file_in_place_of_a_name_is_told_what_to_do():
    with pytest.raises(
        UnknownPlugin,
        match="given as an object in Python, by its name once its package is installed, or as guidance=FILE",
    ):
        get("./no_shouting.py")
