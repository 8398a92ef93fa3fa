"""(see diffusionlm.guidance)"""

if __name__ != "diffusionlm.guidance":
    raise ImportError(
        "This folder is the package 'diffusionlm.guidance' and has no life of its own: "
        "write 'import diffusionlm.guidance' instead of 'import guidance'. "
        "(The bare name may belong to another distribution.)"
    )
