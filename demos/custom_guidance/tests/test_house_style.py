"""The plugins keep the contract: diffusionlm's conformance kit, one test for each check."""

from diffusionlm_house_style import FullStop, NoShouting

from diffusionlm.guidance.testing import parametrize_checks, run_check


@parametrize_checks(NoShouting(), NoShouting(least=2, weight=1.0), FullStop())
def test_house_style(plugin, check):
    run_check(plugin, check)


def test_a_text_without_a_mark_is_not_certified():
    assert FullStop().certify("The Mill is a pub.", []) == {"ends with one of '.!?'": True}
    assert FullStop().certify("The Mill is a pub", []) == {"ends with one of '.!?'": False}
