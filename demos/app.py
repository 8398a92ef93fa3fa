"""The demo in a browser: ``python demos/app.py``, the same as ``diffusionlm demo``. Needs ``diffusionlm-toolkit[demo]``."""

import sys

from diffusionlm.commands.demo import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
