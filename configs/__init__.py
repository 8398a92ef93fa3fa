"""Hydra configurations, found as ``pkg://diffusionlm.configs``: one folder per noun, one file per choice."""

if __name__ != "diffusionlm.configs":
    raise ImportError(
        "This folder is the package 'diffusionlm.configs' and has no life of its own: "
        "write 'import diffusionlm.configs' instead of 'import configs'. "
        "(The bare name may belong to another distribution.)"
    )
