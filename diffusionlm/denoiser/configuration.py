"""`DenoiserConfig`: everything that decides the shape of the network and how it runs."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from diffusionlm.denoiser.media import read_settings, segment_of

CONFIG_VERSION = 1
POSITION_KINDS = ("rope", "alibi")
PROCESSES = ("gaussian", "masked")
MAX_PATCH = 8


class DenoiserConfig(PreTrainedConfig):
    """Configuration of `SpanDenoiser`.

    Args:
        vocab_size: V, tokens with embeddings (pad among them).
        embedding_size: D, the space that diffusion runs in.
        hidden_size: W, width of the transformer.
        num_hidden_layers: blocks.
        num_attention_heads: heads; must divide ``hidden_size``.
        intermediate_size: width of the dense SwiGLU feed-forward.
        condition_size: width of the noise-level embedding that modulates the blocks.
        num_segments: kinds of memory a position can belong to (0 canvas, 1 prompt, 2 retrieved, 3 concept, ...).
        position_kind: "rope" or "alibi".
        rope_parameters: as in transformers: {"rope_theta": ..., "rope_type": "default", "linear", "dynamic", "yarn",
            "llama3" or "longrope", ...}.
        max_position_embeddings: longest text seen in training, in tokens.
        num_experts: 0 for a dense feed-forward, else the number of experts.
        num_experts_per_tok: experts that each token is routed to (top-k).
        moe_intermediate_size: width of one expert; ``intermediate_size // num_experts_per_tok`` if None, which keeps
            the active parameters those of the dense layer.
        router_aux_loss_coef: weight of the load-balancing loss (Fedus et al. 2021, eq. 4).
        router_z_loss_coef: weight of the router z-loss (Zoph et al. 2022, eq. 5).
        num_latents: 0, or the number of Perceiver latents that stand for the whole memory.
        rms_norm_eps: epsilon of the RMS norms.
        initializer_range: standard deviation of the initial embeddings and latents.
        pad_token_id: id of the pad token, which fills the tail of a span that ends early.
        process: the noise it was trained on: "gaussian" (noisy embeddings) or "masked" (hidden tokens).
        patch_size: tokens, bytes as a rule, that make up one position of the trunk, 1 to 8; see ``denoiser.patches``.
        image_encoder: how images are read, a mapping of ``denoiser.media.ImageSettings``; None: they are not.
        sound_encoder: likewise of ``SoundSettings``.

    Raises:
        ValueError: if a value is out of range or two do not fit together.
    """

    model_type = "span_denoiser"

    def __init__(
        self,
        vocab_size: int = 1024,
        embedding_size: int = 64,
        hidden_size: int = 256,
        num_hidden_layers: int = 6,
        num_attention_heads: int = 4,
        intermediate_size: int = 684,
        condition_size: int = 128,
        num_segments: int = 4,
        position_kind: str = "rope",
        rope_parameters: dict[str, Any] | None = None,
        max_position_embeddings: int = 128,
        num_experts: int = 0,
        num_experts_per_tok: int = 2,
        moe_intermediate_size: int | None = None,
        router_aux_loss_coef: float = 0.01,
        router_z_loss_coef: float = 0.001,
        num_latents: int = 0,
        rms_norm_eps: float = 1e-6,
        initializer_range: float = 0.02,
        pad_token_id: int = 0,
        process: str = "gaussian",
        patch_size: int = 1,
        image_encoder: dict[str, Any] | None = None,
        sound_encoder: dict[str, Any] | None = None,
        config_version: int = CONFIG_VERSION,
        **kwargs: Any,
    ) -> None:
        if isinstance(config_version, bool) or not isinstance(config_version, int):
            raise ValueError(f"config_version must be an integer up to {CONFIG_VERSION}, got {config_version!r}.")
        if config_version > CONFIG_VERSION:
            raise ValueError(
                f"This checkpoint has config version {config_version}, this library reads up to {CONFIG_VERSION}: "
                "upgrade diffusionlm to load it."
            )
        positive = {
            "vocab_size": vocab_size,
            "embedding_size": embedding_size,
            "hidden_size": hidden_size,
            "num_hidden_layers": num_hidden_layers,
            "num_attention_heads": num_attention_heads,
            "intermediate_size": intermediate_size,
            "condition_size": condition_size,
            "num_segments": num_segments,
            "max_position_embeddings": max_position_embeddings,
        }
        for name, value in positive.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}.")
        for name, value in {"num_experts": num_experts, "num_latents": num_latents}.items():
            if not isinstance(value, int) or value < 0:
                raise ValueError(f"{name} must be 0 (none) or a positive integer, got {value!r}.")
        if hidden_size % num_attention_heads or (hidden_size // num_attention_heads) % 2:
            raise ValueError(
                f"hidden_size ({hidden_size}) must be an even multiple of num_attention_heads ({num_attention_heads})."
            )
        if position_kind not in POSITION_KINDS:
            raise ValueError(f"position_kind must be one of {POSITION_KINDS}, got {position_kind!r}.")
        if process not in PROCESSES:
            raise ValueError(f"process must be one of {PROCESSES}, got {process!r}.")
        if isinstance(patch_size, bool) or not isinstance(patch_size, int) or not 1 <= patch_size <= MAX_PATCH:
            raise ValueError(f"patch_size must be an integer from 1 (no patches) to {MAX_PATCH}, got {patch_size!r}.")
        if patch_size > 1 and dict(rope_parameters or {}).get("rope_type") in ("dynamic", "longrope"):
            raise ValueError(
                f"rope_type {rope_parameters['rope_type']!r} counts tokens and patches of {patch_size} have one position: "  # type: ignore[index]
                "use linear, yarn or llama3."
            )
        if rope_parameters is not None and not isinstance(rope_parameters, dict):
            raise ValueError(
                f"rope_parameters must be a dictionary such as {{'rope_type': 'default', 'rope_theta': 10000.0}}, got "
                f"{rope_parameters!r}."
            )
        if num_experts and not 1 <= num_experts_per_tok <= num_experts:
            raise ValueError(f"num_experts_per_tok must lie in 1..{num_experts}, got {num_experts_per_tok}.")
        media = {
            kind: read_settings(kind, given)
            for kind, given in (("image", image_encoder), ("sound", sound_encoder))
            if given is not None
        }
        if not 0 <= pad_token_id < vocab_size:
            raise ValueError(f"pad_token_id must lie in 0..{vocab_size - 1}, got {pad_token_id}.")
        self.vocab_size = vocab_size
        self.embedding_size = embedding_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_attention_heads
        self.head_dim = hidden_size // num_attention_heads
        self.intermediate_size = intermediate_size
        self.condition_size = condition_size
        self.num_segments = max(num_segments, *(segment_of(kind) + 1 for kind in media), 0)
        self.position_kind = position_kind
        self.rope_parameters = rope_parameters or {"rope_type": "default", "rope_theta": 10000.0}
        self.max_position_embeddings = max_position_embeddings
        self.num_experts = num_experts
        self.num_experts_per_tok = num_experts_per_tok
        self.moe_intermediate_size = moe_intermediate_size or max(1, intermediate_size // max(1, num_experts_per_tok))
        self.router_aux_loss_coef = router_aux_loss_coef
        self.router_z_loss_coef = router_z_loss_coef
        self.num_latents = num_latents
        self.rms_norm_eps = rms_norm_eps
        self.initializer_range = initializer_range
        self.hidden_act = "silu"
        self.process = process
        self.patch_size = patch_size
        self.image_encoder = media["image"].to_dict() if "image" in media else None
        self.sound_encoder = media["sound"].to_dict() if "sound" in media else None
        self.config_version = config_version
        try:
            super().__init__(**{"pad_token_id": pad_token_id, "tie_word_embeddings": False, **kwargs})
        except KeyError as error:  # how transformers reports missing RoPE parameters
            raise ValueError(str(error.args[0])) from error

    @property
    def media(self) -> dict[str, dict[str, Any]]:
        """Settings of the encoders that there are, by kind."""
        both = {"image": self.image_encoder, "sound": self.sound_encoder}
        return {kind: given for kind, given in both.items() if given is not None}

    @property
    def references(self) -> tuple[str, ...]:
        """The publications behind the model as configured, as in `diffusionlm.citations`."""
        named = [
            "Li et al. 2022, Diffusion-LM improves controllable text generation",
            "Kingma et al. 2021, Variational diffusion models",
            "Dieleman et al. 2022, Continuous diffusion for categorical data",
            "Chen et al. 2022, Analog bits",
            "Peebles and Xie 2023, Scalable diffusion models with transformers, section 3.2",
            {"rope": "Su et al. 2021, RoFormer", "alibi": "Press et al. 2022, Train short, test long"}[
                self.position_kind
            ],
        ]
        if self.process == "masked":
            named[0] = "Sahoo et al. 2024, Simple and effective masked diffusion language models"
        if self.num_experts:
            named += [
                "Shazeer et al. 2017, Outrageously large neural networks",
                "Fedus et al. 2021, Switch Transformers",
            ]
        if self.patch_size > 1:
            named.append("Yu et al. 2023, MegaByte, section 2")
        if self.media:
            named.append("Dosovitskiy et al. 2021, An image is worth 16x16 words")
        if self.num_latents:
            named.append("Jaegle et al. 2021, Perceiver IO")
        return tuple(named)
