"""``python -m diffusionlm``: the command line without its script."""

import sys

from diffusionlm.cli import main

sys.exit(main())
