"""`SpanDenoiser`: the transformer that turns noisy embeddings of spans into token logits.

Perceiver-IO in shape: known tokens become a `ContextMemory` once; spans are the queries of every denoising step.
Shape letters: B batch, L span positions, M memory positions, V vocabulary, D embedding size, W width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.utils import ModelOutput

from diffusionlm.denoiser.attention import check_backend, prepare_mask
from diffusionlm.denoiser.blocks import DenoiserBlock, Modulation, NoiseLevelEmbedding
from diffusionlm.denoiser.configuration import DenoiserConfig
from diffusionlm.denoiser.contract import CANVAS, SEGMENTS
from diffusionlm.denoiser.experts import Experts, Router, RouterStatistics
from diffusionlm.denoiser.media import MediaEncoder, make_encoders
from diffusionlm.denoiser.memory import ContextMemory
from diffusionlm.denoiser.norms import RMSNorm
from diffusionlm.denoiser.patches import Grouping, PatchIn, PatchOut, byte_width
from diffusionlm.denoiser.perceiver import PerceiverResampler
from diffusionlm.denoiser.positions import AlibiBias, RotaryEmbedding, Rotation
from diffusionlm.denoiser.temperature import sharpen
from diffusionlm.denoiser.weights import check_complete, damaged_files_named
from diffusionlm.diffusion.process import token_log_likelihood


@dataclass
class DenoiserOutput(ModelOutput):
    """Output of one pass.

    Attributes:
        logits: (B, L, V) float32; their softmax is the token posterior.
        routers: one `RouterStatistics` for each block with experts, those of the memory's encoding first; None for a
            dense network.
    """

    logits: Tensor | None = None
    routers: tuple[RouterStatistics, ...] | None = None


class SpanDenoiser(PreTrainedModel):
    """Denoiser over span positions with a cached memory; see `DenoiserConfig` for its settings."""

    config_class = DenoiserConfig
    base_model_prefix = "denoiser"
    main_input_name = "latents"
    supports_gradient_checkpointing = True
    _no_split_modules = ["DenoiserBlock"]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: DenoiserConfig) -> None:
        if config._attn_implementation is not None:
            check_backend(config._attn_implementation, config.position_kind)
        super().__init__(config)
        width, dim = config.hidden_size, config.embedding_size
        self.embeddings = nn.Parameter(torch.empty(config.vocab_size, dim))
        patched = config.patch_size > 1
        narrow = byte_width(config) if patched else width  # of what is not yet, or no longer, a position of the trunk
        self.span_in = nn.Linear(2 * dim, narrow, bias=False)
        self.context_in = nn.Linear(dim, narrow, bias=False)
        self.segments = nn.Parameter(torch.empty(config.num_segments, width))
        self.open_span = nn.Parameter(torch.empty(narrow))
        self.noise_level = NoiseLevelEmbedding(config)
        self.context_condition = nn.Parameter(torch.empty(1, config.condition_size))
        self.blocks = nn.ModuleList(DenoiserBlock(config, i) for i in range(config.num_hidden_layers))
        self.out_norm = RMSNorm(narrow, eps=config.rms_norm_eps)
        self.head = nn.Linear(narrow, config.vocab_size)
        self.trained_positions: tuple[int, dict[str, Any]] | None = None  # kept by `position_scaling.scale_positions`
        self.rotary = RotaryEmbedding(config) if config.position_kind == "rope" else None
        self.alibi = AlibiBias(config.num_attention_heads) if config.position_kind == "alibi" else None
        self.resampler = PerceiverResampler(config) if config.num_latents else None
        self.patch_in = PatchIn(config) if patched else None
        self.patch_out = PatchOut(config) if patched else None
        self.encoders = make_encoders(config.media, dim)
        self.post_init()

    def set_attn_implementation(self, attn_implementation: Any, *args: Any, **kwargs: Any) -> None:
        """Switches the attention backend; see ``attention.check_backend`` for what is raised."""
        name = attn_implementation
        if isinstance(name, dict):  # transformers' form for models made of several
            name = name.get("", self.config._attn_implementation)
        check_backend(name, self.config.position_kind)
        super().set_attn_implementation(name, *args, **kwargs)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, allow_missing: bool = False, **kwargs: Any
    ) -> Any:
        """Loads a denoiser as transformers does, and refuses weights that do not belong to the configuration.

        Args:
            pretrained_model_name_or_path: a folder, or a name on the hub.
            *args: see transformers.
            allow_missing: initialise what the file lacks, for a network that grows (experts, Perceiver latents).
            **kwargs: see transformers; settings of `DenoiserConfig` among them, such as ``rope_parameters``.

        Returns:
            The denoiser; with ``output_loading_info=True`` also transformers' loading info.

        Raises:
            OSError: if a file is missing or damaged.
            ValueError: if weights are missing (unless allowed), unknown, or of another shape than the configuration's.
        """
        with_info = kwargs.pop("output_loading_info", False)
        with damaged_files_named(pretrained_model_name_or_path):
            settings = {**kwargs, "output_loading_info": True, "ignore_mismatched_sizes": True}
            loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, **settings)
        model, info = loaded
        ignore_shapes = kwargs.get("ignore_mismatched_sizes", False)
        check_complete(info, str(pretrained_model_name_or_path), allow_missing, ignore_shapes)
        return (model, info) if with_info else model

    @classmethod
    def _can_set_experts_implementation(cls) -> bool:
        return True  # transformers would look for its decorator in this file; it stands in experts.py

    def set_sequence_length(self, length: int) -> None:
        """Fits RoPE to texts of ``length`` tokens where its type depends on it ("dynamic", "longrope"); else no effect.

        Call it before the context is encoded: memories of another length are refused.

        Raises:
            ValueError: if ``length`` is not positive.
        """
        if self.rotary is not None:
            self.rotary.set_sequence_length(length)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """All initialisation: linear maps by 1/sqrt(fan in), outputs of residual branches and modulation by zero."""
        std = self.config.initializer_range
        if isinstance(module, Modulation):
            init.zeros_(module.weight)
            # gates start at a tenth, not at zero: the branches learn from the first step
            bias = torch.zeros_like(module.bias).view(6, -1)
            bias[2] = bias[5] = 0.1
            init.copy_(module.bias, bias.flatten())
        elif isinstance(module, nn.Linear):
            init.normal_(module.weight, mean=0.0, std=module.in_features**-0.5)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(
            module, PatchOut
        ):  # after its parts: the same bias for all pairs of slots, a condition of no effect
            init.zeros_(module.distance.weight)
            init.zeros_(module.condition.weight)
        elif isinstance(module, nn.RMSNorm):
            if module.weight is not None:
                init.ones_(module.weight)
        elif isinstance(module, Experts):
            init.normal_(module.gate_up_proj, mean=0.0, std=module.hidden_dim**-0.5)
            init.normal_(module.down_proj, mean=0.0, std=module.intermediate_dim**-0.5)
        elif isinstance(module, Router):
            init.normal_(module.weight, mean=0.0, std=std)
        elif isinstance(module, PerceiverResampler):
            init.normal_(module.latents, mean=0.0, std=1.0)
        elif isinstance(module, MediaEncoder):
            init.normal_(module.places, mean=0.0, std=0.1)  # what is seen weighs more than where
            block: Any
            for block in module.blocks:  # each begins as no change
                init.zeros_(block.o_proj.weight)
                init.zeros_(block.down_proj.weight)
        elif isinstance(module, RotaryEmbedding | AlibiBias | NoiseLevelEmbedding):
            module.reset()
        elif isinstance(module, SpanDenoiser):
            init.normal_(module.embeddings, mean=0.0, std=1.0)
            init.normal_(module.segments, mean=0.0, std=std)
            init.normal_(module.open_span, mean=0.0, std=std)
            init.zeros_(module.context_condition)
            init.zeros_(module.head.weight)

    def unit_embeddings(self) -> Tensor:
        """All token embeddings (V, D) float32, each of length sqrt(D)."""
        return F.normalize(self.embeddings.float(), dim=-1) * self.config.embedding_size**0.5

    def embed(self, input_ids: Tensor) -> Tensor:
        """Token ids (...) -> embeddings (..., D) of length sqrt(D), float32."""
        return F.embedding(input_ids, self.unit_embeddings())

    def clean_estimate(self, probs: Tensor) -> Tensor:
        """Expected embedding under a token posterior: (B, L, V) -> (B, L, D) float32."""
        return probs.float() @ self.unit_embeddings()

    def encode_media(self, segment: int, values: Tensor, mask: Tensor) -> Tensor:
        """Patches of images or sounds as inputs of memory, ``inputs_embeds`` of `encode_context`.

        Args:
            segment: IMAGE or SOUND.
            values: (B, N, C).
            mask: (B, N) bool, patches in use.

        Returns:
            (B, N, D).

        Raises:
            ValueError: if the network has no encoder for the kind, or shapes do not fit.
        """
        if SEGMENTS[segment] not in self.encoders:
            raise ValueError(f"This checkpoint has no encoder for {SEGMENTS[segment]} memory.")
        return self.encoders[SEGMENTS[segment]](values, mask)

    def encode_context(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        segment: int = CANVAS,
    ) -> ContextMemory:
        """Encodes known positions once, by the same blocks that denoise.

        Args:
            input_ids: (B, M) ids; or
            inputs_embeds: (B, M, D) embeddings of any origin (concepts, other modalities).
            mask: (B, M) bool, True where there is something; all if None.
            position_ids: (B, M); 0..M-1 if None.
            segment: what kind of memory it is, an index into ``SEGMENTS``.

        Returns:
            The memory; with ``num_latents`` set, of that length.

        Raises:
            ValueError: unless exactly one of ids and embeddings is given, with at least one position, and shapes fit.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("encode_context takes either input_ids or inputs_embeds.")
        if not 0 <= segment < self.config.num_segments:
            raise ValueError(f"segment must lie in 0..{self.config.num_segments - 1}, got {segment}.")
        embeds = self.embed(input_ids) if input_ids is not None else inputs_embeds
        assert embeds is not None
        if embeds.dim() != 3 or embeds.shape[-1] != self.config.embedding_size:
            raise ValueError(
                f"encode_context takes input_ids (B, M) or inputs_embeds (B, M, {self.config.embedding_size}), "
                f"got {tuple((embeds if input_ids is None else input_ids).shape)}."
            )
        batch, length = embeds.shape[:2]
        if length == 0:
            raise ValueError("encode_context needs at least one position; pass no memory where there is no context.")
        _check_shapes((batch, length), mask=mask, position_ids=position_ids)
        if mask is None:
            mask = torch.ones(batch, length, dtype=torch.bool, device=embeds.device)
        if position_ids is None:
            position_ids = torch.arange(length, device=embeds.device).expand(batch, -1)
        hidden = self.context_in(embeds.to(self.context_in.weight.dtype))
        if self.patch_in is not None:
            grouping = Grouping.of(position_ids, mask, self.config.patch_size)
            (hidden, _), mask, position_ids = self.patch_in(hidden, grouping), grouping.mask, grouping.places
        hidden = hidden + self.segments[segment]
        if self.resampler is not None:
            hidden, mask, position_ids = self.resampler(hidden, mask, position_ids, self.rotary, self.alibi)
        # a row without any context must still have one key to attend to; its memory is masked all the same
        key_mask = mask | ~mask.any(1, keepdim=True)
        _, own, routers = self._run(hidden, self.context_condition, key_mask, position_ids, None, mask)
        keys, values = zip(*own, strict=True)
        sequence_length = None if self.rotary is None else self.rotary.sequence_length
        return ContextMemory(tuple(keys), tuple(values), mask, position_ids, sequence_length, routers)

    def forward(
        self,
        latents: Tensor,
        gamma: Tensor,
        memory: ContextMemory | None = None,
        clean_estimate: Tensor | None = None,
        span_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        open_mask: Tensor | None = None,
        likelihood_weight: float | Tensor = 1.0,
        temperature: float = 1.0,
    ) -> DenoiserOutput:
        """Token logits of the spans: f(z, gamma, previous clean estimate, memory) + (alpha / sigma²) <z, e_v>.

        Args:
            latents: z (B, L, D).
            gamma: noise level (B,) or scalar.
            memory: from `encode_context`; None without context.
            clean_estimate: the previous one (B, L, D) for self-conditioning; None at the first step.
            span_mask: (B, L) bool, positions in use; all if None.
            position_ids: (B, L), places in the text; 0..L-1 if None.
            open_mask: (B, L) bool, positions of spans that may end early, their tail filled with pad; none if None.
            likelihood_weight: fades the second term in during training.
            temperature: below 1 f is sharpened among the words; see ``temperature.sharpen``.

        Returns:
            `DenoiserOutput`.

        Raises:
            ValueError: if shapes do not fit.
        """
        if latents.dim() != 3 or latents.shape[1] == 0 or latents.shape[2] != self.config.embedding_size:
            raise ValueError(f"latents must be (B, L, {self.config.embedding_size}), got {tuple(latents.shape)}.")
        batch, length, _ = latents.shape
        _check_shapes((batch, length), span_mask=span_mask, position_ids=position_ids, open_mask=open_mask)
        _check_shapes(tuple(latents.shape), clean_estimate=clean_estimate)
        _check_shapes((batch,), gamma=gamma if gamma.dim() else None)
        self._check_memory(memory, batch)
        gamma = gamma.expand(batch) if gamma.dim() == 0 else gamma
        if position_ids is None:
            position_ids = torch.arange(length, device=latents.device).expand(batch, -1)
        estimate = torch.zeros_like(latents) if clean_estimate is None else clean_estimate.to(latents.dtype)
        dtype = self.span_in.weight.dtype
        hidden = self.span_in(torch.cat((latents, estimate), dim=-1).to(dtype))
        condition = self.noise_level(gamma)
        if self.patch_in is None or self.patch_out is None:
            hidden = hidden + self.segments[CANVAS]
            if open_mask is not None:
                hidden = hidden + open_mask[..., None].to(dtype) * self.open_span
            hidden, _, routers = self._run(hidden, condition, span_mask, position_ids, memory, span_mask)
        else:
            if open_mask is not None:
                hidden = hidden + open_mask[..., None].to(dtype) * self.open_span
            group = Grouping.of(position_ids, span_mask, self.config.patch_size)
            trunk, slots = self.patch_in(hidden, group)
            trunk = trunk + self.segments[CANVAS]
            trunk, _, routers = self._run(trunk, condition, group.mask, group.places, memory, group.mask)
            hidden = self.patch_out(trunk, slots, condition, group)
        likelihood = torch.zeros(
            (), device=latents.device
        )  # a token that is seen or hidden has none beside the network
        if self.config.process == "gaussian":
            with torch.autocast(latents.device.type, enabled=False):
                likelihood = token_log_likelihood(latents.float(), self.unit_embeddings(), gamma.float())
        prior = self.head(self.out_norm(hidden)).float()
        logits = sharpen(prior, likelihood_weight * likelihood, temperature, self.config.pad_token_id)
        if memory is not None:
            routers = memory.routers + routers
        return DenoiserOutput(logits=logits, routers=routers or None)

    def _check_memory(self, memory: ContextMemory | None, batch: int) -> None:
        if memory is None:
            return
        if memory.batch_size != batch:
            raise ValueError(f"The memory holds {memory.batch_size} samples, the latents {batch}; see memory.repeat.")
        fitting = (len(self.blocks), self.config.num_attention_heads, self.config.head_dim)
        given = (len(memory.keys), memory.keys[0].shape[1], memory.keys[0].shape[3])
        if given != fitting:
            raise ValueError(f"The memory was made by another model: blocks, heads, head size {given}, here {fitting}.")
        if self.rotary is not None and memory.sequence_length != self.rotary.sequence_length:
            raise ValueError(
                f"The memory was encoded with RoPE fitted to {memory.sequence_length} tokens, now it is fitted to "
                f"{self.rotary.sequence_length}: encode the context again after set_sequence_length."
            )

    def _run(
        self,
        hidden: Tensor,
        condition: Tensor,
        own_mask: Tensor | None,
        position_ids: Tensor,
        memory: ContextMemory | None,
        token_mask: Tensor | None,
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]], tuple[RouterStatistics, ...]]:
        batch, length = hidden.shape[:2]
        key_mask, key_positions = own_mask, position_ids
        if memory is not None:
            own = own_mask
            if own is None:
                own = torch.ones(batch, length, dtype=torch.bool, device=hidden.device)
            key_mask = torch.cat((memory.mask, own), dim=1)
            key_positions = torch.cat((memory.position_ids.float(), position_ids.float()), dim=1)
        bias = None if self.alibi is None else self.alibi(position_ids, key_positions)
        if self.rotary is not None:
            self.rotary.check_length(key_positions, key_mask)
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        mask = prepare_mask(self.config._attn_implementation, key_mask, bias, length, dtype)
        rotation: Rotation | None = None if self.rotary is None else self.rotary(position_ids)
        own_states, routers = [], []
        memories = [None] * len(self.blocks) if memory is None else memory.blocks(length, dtype)
        for block, cached in zip(self.blocks, memories, strict=True):
            hidden, states, statistics = block(hidden, condition, mask, rotation, cached, token_mask)
            own_states.append(states)
            if statistics is not None:
                routers.append(statistics)
        return hidden, own_states, tuple(routers)


def _check_shapes(shape: tuple[int, ...], **tensors: Tensor | None) -> None:
    for name, tensor in tensors.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(f"{name} must have the shape {shape}, got {tuple(tensor.shape)}.")
