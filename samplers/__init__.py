"""(see diffusionlm.samplers)"""

if __name__ != "diffusionlm.samplers":
    raise ImportError(
        "This folder is the package 'diffusionlm.samplers' and has no life of its own: "
        "write 'import diffusionlm.samplers' instead of 'import samplers'. "
        "(The bare name may belong to another distribution.)"
    )
