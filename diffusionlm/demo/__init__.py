"""The page of ``diffusionlm demo``: write, steer, understand, take away. Needs the extra ``demo``.

* :mod:`~diffusionlm.demo.limits`: what a visitor may ask for, and the sentences that refuse the rest.
* :mod:`~diffusionlm.demo.parameters`: controls from the parameters of a plugin; what a page must not offer.
* :mod:`~diffusionlm.demo.catalogue`: every registered plugin with its controls.
* :mod:`~diffusionlm.demo.order`: what a visitor asked for, checked.
* :mod:`~diffusionlm.demo.writing`: guided and unguided, step by step, from the same noise.
* :mod:`~diffusionlm.demo.page` and :mod:`~diffusionlm.demo.server`: Gradio's part, and what is let through to it.

Nothing here imports Gradio but the last two.
"""
