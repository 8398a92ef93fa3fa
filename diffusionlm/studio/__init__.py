"""The page of ``diffusionlm demo``: write, steer, understand, take away. Needs the extra ``demo``.

* :mod:`~diffusionlm.studio.limits`: what a visitor may ask for, and the sentences that refuse the rest.
* :mod:`~diffusionlm.studio.parameters`: controls from the parameters of a plugin; what a page must not offer.
* :mod:`~diffusionlm.studio.catalogue`: every registered plugin with its controls.
* :mod:`~diffusionlm.studio.order`: what a visitor asked for, checked.
* :mod:`~diffusionlm.studio.writing`: guided and unguided, step by step, from the same noise.
* :mod:`~diffusionlm.studio.page` and :mod:`~diffusionlm.studio.server`: Gradio's part, and what is let through to it.

Nothing here imports Gradio but the last two.
"""
