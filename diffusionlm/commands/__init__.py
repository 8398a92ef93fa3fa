"""The subcommands of the ``diffusionlm`` command line, one module each.

A module ``diffusionlm/commands/<name>.py`` is the subcommand ``<name>``. It defines

* ``SUMMARY``, one line for the listing, as a string literal (it is read without importing the module), and
* ``main(argv: list[str]) -> int``, which parses the arguments after the subcommand and returns the exit code.

Modules whose name begins with an underscore are no subcommands.
"""
