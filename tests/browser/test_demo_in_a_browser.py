"""A visitor writes, infills, guides, looks closer, and takes the code home."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def environment(server) -> dict[str, str]:
    """The one in which the copied code runs: with the packages that the server has."""
    path = os.pathsep.join([str(server.home / "plugins"), str(Path(__file__).parents[2])])
    return os.environ | {"PYTHONPATH": path, "WATCHED": os.devnull}


def test_writes_whole_texts_and_shows_how_they_came_about(visit):
    one = visit()
    one.settings(Steps=6, Texts=2)
    one.page.locator("#dl-text textarea").fill("")
    one.write()
    texts = one.finished()
    assert len(texts) == 2
    assert all(len(text.split()) > 2 for text in texts)
    slider = one.page.get_by_label("Denoising step")
    slider.focus()
    one.page.keyboard.press("Home")
    assert one.page.locator(".dl-scrub output").text_content() == "step 1 of 6"
    assert one.page.locator(".dl-token").count() > 2
    assert one.page.locator(".dl-token").first.get_attribute("title").endswith("% certain")
    one.page.keyboard.press("End")
    assert one.page.locator(".dl-text").all_text_contents() == texts


def test_selected_words_become_a_gap_and_are_filled(visit):
    one = visit()
    one.settings(Steps=6)
    area = one.page.locator("#dl-text textarea")
    area.fill("Café Zoë is a cheap pub by the river.")
    area.evaluate("area => area.setSelectionRange(14, 23)")
    one.page.locator("#dl-gap").click()
    assert area.input_value() == "Café Zoë is a [SPAN] by the river."
    one.write()
    for text in one.finished():
        assert text.startswith("Café Zoë is a ")
        assert text.endswith(" by the river.")


def test_guides_and_explains_itself(visit):
    one = visit()
    one.settings(Steps=8)
    part = one.switch_on("phrases")
    part.get_by_label("Include").fill("Aardvark\nzebra")
    one.write()
    texts = one.finished()
    assert len(texts) == 4  # guided and unguided, two texts
    assert all("Aardvark" in text and "zebra" in text for text in texts[::2])
    assert not any("Aardvark" in text for text in texts[1::2])
    guided, unguided = (one.page.locator(".dl-card").nth(k) for k in (0, 1))
    assert guided.locator(".dl-good").count() == 2
    assert unguided.locator(".dl-bad").count() == 2
    assert "Aardvark" in "".join(guided.locator(".dl-changed").all_text_contents())
    insight = one.page.locator("#dl-insight")
    assert "4 of 4 certificates hold" in insight.inner_text()
    assert insight.locator("svg polyline").count() >= 4  # entropy of both sides, energy, KL
    assert " J (" in insight.inner_text()


def test_a_plugin_of_an_installed_package_shows_up_and_works(visit):
    one = visit()
    one.settings(Steps=8)
    assert "package fixture-plugins 1.0" in one.page.locator("#dl-plugin-no-pubs").inner_text()
    part = one.switch_on("no-pubs")
    assert part.get_by_label("Words").input_value() == "pub"
    one.page.locator("#dl-text textarea").fill("The [SPAN:4] is a pub.")
    one.write()
    one.finished()
    marks = one.page.locator("mark.dl-finding")
    assert marks.first.text_content() == "pub"
    assert marks.first.get_attribute("title") == "no-pubs: is a pub"
    assert "is a pub (no-pubs)" in one.page.locator(".dl-reason").first.text_content()


@pytest.mark.parametrize("kind", ["python", "command"])
def test_the_code_that_is_copied_writes_the_texts_on_the_screen(visit, server, kind):
    one = visit(permissions=["clipboard-read", "clipboard-write"])
    one.settings(Steps=5, Seed=23)
    one.page.locator("#dl-text textarea").fill('It\'s [SPAN:4], "[SPAN]" & more: $5.')
    one.switch_on("no-pubs")
    one.write()
    guided = one.finished()[::2]
    button = one.page.get_by_role("button", name=f"Copy as {kind.capitalize() if kind == 'python' else kind}")
    button.click()
    one.page.get_by_text("Copied").wait_for()
    code = one.page.evaluate("navigator.clipboard.readText()")
    call = [sys.executable, "-c", code]
    if kind == "command":
        assert code.startswith("diffusionlm generate")
        call = ["/bin/sh", "-c", f"{sys.executable} -m {code}"]
    done = subprocess.run(call, capture_output=True, text=True, check=True, env=environment(server))
    assert done.stdout.splitlines() == guided


def test_result_and_trace_are_saved_by_the_browser(visit):
    one = visit()
    one.settings(Steps=4)
    one.switch_on("length").get_by_label("Words").fill("6-14")
    one.write()
    texts = one.finished()
    saved = {}
    for kind in ("result", "trace"):
        with one.page.expect_download() as download:
            one.page.locator(f"#dl-save-{kind}").click()
        assert download.value.suggested_filename == f"diffusionlm-{kind}.json"
        saved[kind] = json.loads(Path(download.value.path()).read_text())
    assert [sample["text"] for sample in saved["result"]["samples"][0]] == texts[::2]
    assert saved["trace"]["order"]["guidance"] == [{"name": "length", "words": [6, 14]}]
    assert {record["step"] for record in saved["trace"]["trace"]["records"]} == {0, 1, 2, 3}


def test_an_example_fills_the_page_and_writes(visit):
    one = visit()
    one.page.get_by_role("button", name="Exactly twelve words").click()
    texts = one.finished()
    assert one.page.locator("#dl-plugin-length").get_by_label("Words").input_value() == "12"
    assert all(len(text.split()) == 12 for text in texts[::2])


def test_everything_can_be_done_by_keyboard(visit):
    one = visit()
    one.settings(Steps=4)
    one.page.locator("#dl-text textarea").focus()
    one.page.keyboard.press("Control+A")
    one.page.keyboard.type("A pub near [SPAN:3].")
    one.page.keyboard.press("Control+Enter")
    assert all(text.startswith("A pub near ") for text in one.finished())
    one.page.locator("#dl-plugin-phrases").get_by_role("checkbox").first.focus()
    one.page.keyboard.press("Space")
    one.page.locator("#dl-plugin-phrases").get_by_label("Include").wait_for()


def test_a_phone_shows_all_of_it_in_one_column(visit):
    one = visit(viewport={"width": 375, "height": 740}, has_touch=True, is_mobile=True)
    one.page.get_by_role("button", name="Exactly twelve words").tap()
    one.finished()
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 375
    boxes = [card.bounding_box() for card in one.page.locator(".dl-card").all()]
    assert len({round(box["x"]) for box in boxes}) == 1


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_page_follows_the_colour_scheme_and_a_switch(visit, scheme, dark):
    one = visit(color_scheme=scheme)
    brightness = "sum(getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number))"
    brightness = brightness.replace("sum(", "(a => a[0] + a[1] + a[2])(")
    assert (one.page.evaluate(brightness) < 200) == dark
    one.page.locator(".dl-theme").click()
    one.page.wait_for_function(f"(({brightness}) < 200) === {str(not dark).lower()}")


@pytest.mark.skipif(
    "DIFFUSIONLM_SCREENSHOTS" not in os.environ, reason="DIFFUSIONLM_SCREENSHOTS=FOLDER writes pictures"
)
def test_pictures_for_the_documentation(visit):
    folder = Path(os.environ["DIFFUSIONLM_SCREENSHOTS"])
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"demo": {}, "demo-dark": {"color_scheme": "dark"}}
    for name, settings in sizes.items():
        one = visit(viewport={"width": 1360, "height": 1480}, **settings)
        one.page.get_by_role("button", name="Several rules at once").click()
        one.finished()
        one.page.mouse.move(0, 0)
        one.page.wait_for_timeout(600)
        one.page.screenshot(path=folder / f"{name}.png")
        if name == "demo":
            slider = one.page.get_by_label("Denoising step")
            slider.focus()
            for _ in range(14):
                one.page.keyboard.press("ArrowLeft")
            one.page.locator(".dl-viewer").screenshot(path=folder / "demo-denoising.png")
    phone = visit(viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True)
    phone.page.get_by_role("button", name="Exactly twelve words").tap()
    phone.finished()
    phone.page.wait_for_timeout(600)
    phone.page.locator(".dl-viewer").scroll_into_view_if_needed()
    phone.page.screenshot(path=folder / "demo-phone.png")
