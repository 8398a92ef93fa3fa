"""The conformance kit: what every plugin must do, checked on a toy model in a second or two.

In a test of your own::

    from diffusionlm.guidance.testing import parametrize_checks, run_check

    @parametrize_checks(NoShouting(weight=3.0))
    def test_no_shouting(plugin, check):
        run_check(plugin, check)

or at once: ``check_guidance(NoShouting())``. A check that cannot hold is declared with its reason, on the class
(``expected_failures``) or in the call, and fails if it holds after all.
"""

from diffusionlm.guidance.testing.checks import CHECKS
from diffusionlm.guidance.testing.kit import Report, check_guidance, examine, parametrize_checks, run_check

__all__ = ["CHECKS", "Report", "check_guidance", "examine", "parametrize_checks", "run_check"]
