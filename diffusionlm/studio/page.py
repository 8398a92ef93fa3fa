"""The page in Gradio: Write, Steer, Understand, Take away."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

import gradio as gr

from diffusionlm.generation.free_memory import give_back
from diffusionlm.guidance import GuidanceError
from diffusionlm.samplers import SAMPLERS, sampler_to_dict
from diffusionlm.studio.catalogue import PluginCard, cards
from diffusionlm.studio.control import Control
from diffusionlm.studio.examples import Example, examples_for
from diffusionlm.studio.limits import LIMITS, Limits, Refused
from diffusionlm.studio.order import MAX_SEED, Order, command, python_code
from diffusionlm.studio.understanding import understanding
from diffusionlm.studio.writing import Outcome, carry_out, checkpoints, pipeline
from diffusionlm.studio.writing_view import done, live, message

log = logging.getLogger(__name__)

FRAME = 0.04  # seconds between two pictures that are sent; the eye sees no more
STEPS = 32
OPENING = "The service was slow and the manager [SPAN]."
INTRO = """
<header class="dl-head"><div><h1>diffusionlm</h1>
<p>Text condenses out of noise, all words at once. Write with gaps, steer every step with plugins, see what each of them
did, and take the code home.</p></div>
<button type="button" class="dl-theme" aria-label="Switch between light and dark">◐</button></header>
"""
GAP = """(text) => {
  const area = document.querySelector("#dl-text textarea");
  const [from, to] = area ? [area.selectionStart, area.selectionEnd] : [text.length, text.length];
  return text.slice(0, from) + "[SPAN]" + text.slice(to);
}"""
SAVE = """(text) => {
  if (!text) return [];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type: "application/json"}));
  link.download = "diffusionlm-KIND.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  return [];
}"""
OPEN = "(on) => ({ __type__: 'update', visible: on })"


def asset(name: str) -> str:
    """A file of ``assets/``."""
    return (files("diffusionlm.studio") / "assets" / name).read_text(encoding="utf-8")


@dataclass
class Switch:
    """The components of one plugin.

    Attributes:
        card: the plugin.
        on: whether it is switched on.
        body: what unfolds then.
        controls: a component for each of ``card.all_controls``.
    """

    card: PluginCard
    on: gr.Checkbox
    body: gr.Column
    controls: list[Any]

    @property
    def inputs(self) -> list[Any]:
        """All components whose values are sent."""
        return [self.on, *self.controls]


def build(limits: Limits = LIMITS) -> gr.Blocks:
    """The page, for every plugin that is registered now."""
    catalogue = {card.name: card for card in cards()}
    usable = [card for card in catalogue.values() if not card.trouble]
    weights = checkpoints()
    with gr.Blocks(title="diffusionlm", analytics_enabled=False, fill_width=True) as page:
        kept = gr.State(time_to_live=3600)
        gr.HTML(INTRO, apply_default_css=False)
        with gr.Row(elem_id="dl-columns", equal_height=False):
            with gr.Column(scale=5, min_width=320, elem_id="dl-orders"):
                checkpoint = gr.Dropdown(weights, value=weights[0], label="Model", elem_id="dl-model")
                _heading(1, "Write", "Put [SPAN] where the model shall write, or leave the text empty for a whole one.")
                chosen = examples_for(usable, weights)
                with gr.Row(elem_classes="dl-chips"):
                    chips = [gr.Button(example.title, size="sm", min_width=0, scale=0) for example in chosen]
                basics, write, stop = _write(checkpoint, weights, limits)
                _heading(
                    2, "Steer", "Each plugin pulls at every step. A rule always holds; a wish has a weight or a goal."
                )
                compare = gr.Checkbox(
                    True, label="Write the unguided text beside it, from the same noise", container=False
                )
                switches = [_switch(card) for card in usable]
                _unusable([card for card in catalogue.values() if card.trouble])
            with gr.Column(scale=7, min_width=320, elem_id="dl-results"):
                viewer = _component("viewer", '{"state": "idle"}')
                _heading(3, "Understand", "Where the choice of words was still open, and what every plugin spent.")
                insight = gr.HTML(
                    '<p class="dl-note">Nothing is written yet.</p>', elem_id="dl-insight", apply_default_css=False
                )
                _heading(4, "Take away", "The same texts from your own machine.")
                code = _component("takeaway", "{}")
                with gr.Row(elem_classes="dl-chips"):
                    save_result = gr.Button("Result as JSON", size="sm", min_width=0, scale=0, elem_id="dl-save-result")
                    save_trace = gr.Button("Trace as JSON", size="sm", min_width=0, scale=0, elem_id="dl-save-trace")
        inputs = [*basics, compare, *(component for switch in switches for component in switch.inputs)]
        outputs = [viewer, insight, code, kept]

        def run(*values: Any) -> Iterator[tuple[Any, ...]]:
            yield from _run(values, switches, catalogue, limits)

        running: dict[str, Any] = {"fn": run, "inputs": inputs, "outputs": outputs, "show_progress": "minimal"}
        running["preprocess"] = False  # Gradio would print what it cannot read; `Order.read` says it to the visitor
        running |= {"show_progress_on": viewer, "concurrency_limit": limits.running, "concurrency_id": "write"}
        events = [
            write.click(**running, api_visibility="private"),
            basics[1].submit(**running, api_visibility="private"),
        ]
        for chip, example in zip(chips, chosen, strict=True):
            filled = chip.click(
                lambda example=example: _fill(example, weights, switches),
                outputs=[*basics, *(c for switch in switches for c in (*switch.inputs, switch.body))],
                queue=False,
                show_progress="hidden",
                api_visibility="private",
            )
            events.append(filled.then(**running, api_visibility="private"))
        stop.click(None, cancels=events, queue=False, api_visibility="private")
        for button, kind in ((save_result, "result"), (save_trace, "trace")):
            _download(button, kind, kept)
    page.queue(max_size=limits.waiting, api_open=False)
    page.state_session_capacity = limits.sessions  # Gradio would keep ten thousand
    return page


# ---- parts of the page ----------------------------------------------------------------------------------------------


def _heading(number: int, title: str, line: str) -> None:
    gr.HTML(
        f'<h2 class="dl-heading"><span>{number}</span>{escape(title)}</h2><p class="dl-line-below">{escape(line)}</p>'
    )


def _component(name: str, value: str) -> gr.HTML:
    return gr.HTML(
        value,
        html_template=asset(f"{name}.html"),
        js_on_load=asset(f"{name}.js"),
        elem_id=f"dl-{name}",
        apply_default_css=False,
    )


def _write(checkpoint: gr.Dropdown, weights: list[str], limits: Limits) -> tuple[list[Any], gr.Button, gr.Button]:
    """Components of the section Write, in the order of `Order.read`, and the buttons Write and Stop."""
    first = pipeline(weights[0])
    text = gr.Textbox(
        OPENING,
        label="Text",
        lines=2,
        max_lines=8,
        elem_id="dl-text",
        info="[SPAN] ends itself, [SPAN:5] has five tokens (about words).",
    )
    with gr.Row(elem_classes="dl-chips"):
        gap = gr.Button("Make the selected words a gap", size="sm", min_width=0, scale=0, elem_id="dl-gap")
    gap.click(None, inputs=text, outputs=text, js=GAP, queue=False, api_visibility="private")
    prompt = gr.Textbox(label="Facts, if there are any", placeholder="name[The Mill], food[Italian], area[riverside]")
    with gr.Row(elem_id="dl-actions"):
        write = gr.Button("Write", variant="primary", elem_id="dl-write", scale=3)
        stop = gr.Button("Stop", elem_id="dl-stop", scale=1, min_width=80)
    with gr.Accordion("Settings", open=False):
        with gr.Row():
            samples = gr.Slider(1, limits.samples, value=2, step=1, label="Texts", min_width=140)
            steps = gr.Slider(4, limits.steps, value=STEPS, step=1, label="Steps", min_width=140)
        with gr.Row():
            temperature = gr.Slider(
                0.3, 1.5, value=first.temperature_at(STEPS), step=0.01, label="Temperature", min_width=140
            )
            seed = gr.Number(
                0, label="Seed, or nothing to draw one", precision=0, minimum=0, maximum=MAX_SEED, min_width=140
            )
        own = sampler_to_dict(first.sampler)["name"]
        sampler = gr.Dropdown([(f"the model's own ({own})", ""), *SAMPLERS], value="", label="Sampler")

    def temperature_of(name: str, steps: float) -> float:
        return (pipeline(name) if name in weights else first).temperature_at(max(1, int(steps)))

    for changed in (checkpoint.input, steps.release):
        changed(
            temperature_of,
            [checkpoint, steps],
            temperature,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
    return [checkpoint, text, prompt, samples, steps, temperature, seed, sampler], write, stop


def _switch(card: PluginCard) -> Switch:
    with gr.Column(elem_classes="dl-plugin", elem_id=f"dl-plugin-{card.name}"):
        source = "" if card.source == "built-in" else f" · {card.source}"
        kind = "wish" if card.steering else "rule"
        on = gr.Checkbox(False, label=f"{card.title} · {kind}{source}", info=card.summary, container=False)
        with gr.Column(visible=False, elem_classes="dl-settings") as body:
            if card.details:
                gr.HTML(f"<details><summary>More</summary><p>{escape(card.details)}</p></details>")
            own = []
            if card.controls:
                with gr.Row(elem_classes="dl-controls"):
                    own = [_control(control) for control in card.controls]
            common = []
            if card.steering:
                with gr.Row():
                    common += [_control(control) for control in card.steering[:2]]
                with gr.Accordion("When, and how hard at most", open=False):
                    common += [_control(control) for control in card.steering[2:]]
            if card.hidden:
                gr.HTML(f'<p class="dl-note dl-inside">Only in Python: {escape(", ".join(card.hidden))}.</p>')
        on.change(None, on, body, js=OPEN, queue=False, api_visibility="private")
    return Switch(card, on, body, [*own, *common])


MODES = [("weight", "weight"), ("keep below", "below"), ("keep above", "above")]


def _control(control: Control) -> Any:
    shown = control.shown(control.default)
    common: dict[str, Any] = {"label": control.title, "info": _short(control.help)}
    match control.kind:
        case "switch":
            return gr.Checkbox(shown, **common, min_width=150)
        case "integer" | "number":
            return gr.Number(shown, **common, precision=0 if control.kind == "integer" else None, min_width=120)
        case "choice" if control.name == "mode":
            return gr.Radio(MODES, value=shown, label="Pull by", min_width=200)
        case "choice":
            return gr.Dropdown(list(control.choices), value=shown, **common, min_width=150)
        case "lines":
            return gr.Textbox(shown, **common, lines=2, max_lines=6, min_width=150, placeholder="one a line")
        case "range":
            return gr.Textbox(shown, **common, min_width=120, placeholder="12, or 10-15")
        case _:
            return gr.Textbox(shown, **common, min_width=150, placeholder=control.example or None)


def _short(text: str) -> str | None:
    plain = re.sub(r"`+([^`]*)`+", r"\1", text)
    return plain[:1].upper() + plain[1:] or None


def _unusable(found: list[PluginCard]) -> None:
    if found:
        lines = "".join(f"<li><b>{escape(c.title)}</b>: {escape(public(c.trouble))}</li>" for c in found)
        gr.HTML(f'<details class="dl-note"><summary>{len(found)} more in Python</summary><ul>{lines}</ul></details>')


def _download(button: gr.Button, kind: str, kept: gr.State) -> None:
    text = gr.Textbox(visible=False)  # a state would stay on the server
    button.click(
        lambda data: (data or {}).get(kind), kept, text, queue=False, show_progress="hidden", api_visibility="private"
    ).then(None, text, None, js=SAVE.replace("KIND", kind), api_visibility="private")


# ---- what happens ---------------------------------------------------------------------------------------------------


def _fill(example: Example, weights: list[str], switches: list[Switch]) -> list[Any]:
    """Values of all inputs, for an example; the order of the components in `build`."""
    checkpoint = next((name for name in (*example.checkpoints, *weights) if name in weights), weights[0])
    found: list[Any] = [checkpoint, example.text, example.prompt, example.num_samples, STEPS]
    found += [pipeline(checkpoint).temperature_at(STEPS), example.seed, ""]
    for switch in switches:
        given = example.plugins.get(switch.card.name)
        found.append(given is not None)
        for control in switch.card.all_controls:
            found.append((given or {}).get(control.name, control.shown(control.default)))
        found.append(gr.update(visible=given is not None))
    return found


def _read(values: tuple[Any, ...], switches: list[Switch], catalogue: dict[str, PluginCard], limits: Limits) -> Order:
    checkpoint, text, prompt, samples, steps, temperature, seed, sampler, _, *rest = values
    if not isinstance(checkpoint, str) or checkpoint not in checkpoints():
        raise Refused(f"There are no weights {str(checkpoint)[:40]!r}; there are {', '.join(checkpoints())}.")
    plugins, place = {}, 0
    for switch in switches:
        on, *given = rest[place : place + len(switch.inputs)]
        place += len(switch.inputs)
        if on:
            plugins[switch.card.name] = dict(
                zip((control.name for control in switch.card.all_controls), given, strict=True)
            )
    return Order.read(
        checkpoint,
        text,
        prompt,
        samples,
        steps,
        temperature,
        seed,
        sampler,
        plugins,
        catalogue,
        tuple(SAMPLERS),
        limits,
    )


def _run(
    values: tuple[Any, ...], switches: list[Switch], catalogue: dict[str, PluginCard], limits: Limits
) -> Iterator[tuple[Any, ...]]:
    """Viewer, insight, code and what is kept, again and again; never raises."""
    skip = gr.skip()
    try:
        order = _read(values, switches, catalogue, limits)
        began = sent = time.monotonic()
        for item in carry_out(order, compare=bool(values[8])):
            now = time.monotonic()
            if isinstance(item, Outcome):
                code = {"python": python_code(order), "command": command(order)}
                yield done(item), understanding(item), json.dumps(code), _kept(item)
            elif len(item[0].frames) == 1 or now - sent >= FRAME:
                sent = now
                yield live(item, order.steps), skip, skip, skip
            if now - began > limits.seconds:
                raise Refused(f"This takes longer than {limits.seconds} s; ask for fewer texts, steps or plugins.")
    except (ValueError, GuidanceError, ImportError, OSError, FloatingPointError) as error:
        yield message(public(str(error))), skip, skip, skip
    except Exception as error:  # a visitor's mistake or ours: the page lives on, and nothing of the text is logged
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = "?" if place is None else f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}"
        log.error("An order failed with %s at %s", type(error).__name__, where)
        yield message(f"Something went wrong here ({type(error).__name__}); try other settings."), skip, skip, skip
    finally:
        give_back()


def _kept(outcome: Outcome) -> dict[str, str]:
    order = outcome.order.to_dict()
    result = {"order": order, **json.loads(outcome.result.to_json())}
    trace = {"order": order, "trace": None}
    if outcome.result.trace is not None:
        trace["trace"] = json.loads(outcome.result.trace.to_json())
    return {
        kind: json.dumps(data, ensure_ascii=False, indent=1) for kind, data in (("result", result), ("trace", trace))
    }


def public(text: str) -> str:
    """A message without the places of files on this machine."""
    return re.sub(r"(?:\s\()?(?:/[\w.@+-]+){2,}(?::\d+)?\)?", "", text)[:600]
