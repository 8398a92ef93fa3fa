"""Every registered plugin passes the conformance kit that we ship."""

from diffusionlm.guidance.registry.plugins import available
from diffusionlm.guidance.testing import parametrize_checks, run_check


@parametrize_checks(*available())
def test_registered_plugins_conform(plugin, check):
    run_check(plugin, check)
