// The result: live denoising, then a scrubber over the steps. The value of the component is JSON, see writing_view.py.
const make = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
let timer = null;

const ink = (node, certainty) => {
  if (certainty < 0) node.className = "dl-known";
  else {
    node.className = "dl-token";
    node.style.setProperty("--unsure", 1 - certainty / 100);
    node.title = `${certainty} % certain`;
  }
  return node;
};

const tokens = (pieces) => pieces.map(([text, certainty]) => ink(make("span", "", text), certainty));

const finished = (sample) => sample.parts.map((part) => {
  let node = make("span", part.c < 0 ? "dl-known" : "dl-written", part.t);
  if (part.d) node.classList.add("dl-changed");
  if (part.f !== undefined) {
    const mark = make("mark", "dl-finding");
    mark.title = `${sample.findings[part.f].plugin}: ${sample.findings[part.f].reason}`;
    mark.append(node);
    node = mark;
  }
  return node;
});

const facts = (sample) => {
  const list = make("ul", "dl-facts");
  const add = (good, text, help) => {
    const item = make("li", good ? "dl-good" : "dl-bad", text);
    item.prepend(make("b", "", good ? "✓ " : "✗ "));
    if (help) item.title = help;
    list.append(item);
  };
  sample.checks.forEach((c) =>
    add(c.held, c.name, c.held ? `Checked on the finished text${c.help ? `:\n${c.help}` : ""}` : "Does not hold here"));
  sample.goals.forEach((g) => add(g.reached, `${g.goal} (${Number(g.value.toPrecision(2))})`, "Goal of a plugin"));
  if (sample.attempts > 1) {
    const item = make("li", "dl-reason", `written ${sample.attempts} times`);
    item.title = "Texts that miss their goal are written again; the best is shown";
    list.append(item);
  }
  sample.findings.forEach((f) => {
    const item = make("li", "dl-bad dl-reason");
    item.append(make("b", "", `“${f.text}”`), ` ${f.reason} (${f.plugin})`);
    list.append(item);
  });
  return list;
};

const draw = (data, step) => {
  const box = element.querySelector(".dl-texts");
  const last = data.state === "done" && step >= data.steps;
  const rows = [];
  for (let j = 0; j < data.count; j++) {
    const row = make("div", data.sides.length === 2 ? "dl-row dl-two" : "dl-row");
    data.sides.forEach((side, k) => {
      const card = make("article", k === 0 && data.sides.length === 2 ? "dl-card dl-lead" : "dl-card");
      if (data.sides.length === 2) card.append(make("h4", "", side.title));
      const text = make("p", "dl-text");
      if (last) text.append(...finished(side.samples[j]));
      else text.append(...tokens(data.state === "done" ? side.frames[step][j] : side.now[j]));
      card.append(text);
      if (last) {
        const below = make("footer", "");
        const list = facts(side.samples[j]);
        if (list.childElementCount) below.append(list);
        below.append(make("span", "dl-seed", `seed ${side.samples[j].seed}`));
        card.append(below);
      }
      row.append(card);
    });
    rows.push(row);
  }
  box.replaceChildren(...rows);
  const shown = Math.min(step, data.steps);
  element.querySelector("output").textContent = last ? "finished text" : `step ${shown + 1} of ${data.steps}`;
  const legend = element.querySelector(".dl-legend");
  legend.dataset.kind = last ? "marks" : "certainty";
  legend.querySelector(".dl-if-two").hidden = data.sides.length < 2;
  legend.querySelector(".dl-if-found").hidden = !last || !data.sides.some((s) => s.samples.some((x) => x.findings.length));
};

const stop = () => {
  clearInterval(timer);
  timer = null;
  element.querySelector(".dl-play").textContent = "▶ Replay";
};

const show = () => {
  const data = JSON.parse(props.value || '{"state": "idle"}');
  const root = element.querySelector(".dl-viewer");
  stop();
  root.dataset.state = data.state;
  root.setAttribute("aria-busy", data.state === "live");
  const said = element.querySelector(".dl-message");
  said.textContent = data.message || "";
  if (data.quoted) said.append(make("pre", "dl-quoted", data.quoted));
  if (data.state === "live") {
    draw(data, data.step);
    if (data.step === 0 && window.innerWidth < 900) root.scrollIntoView({ behavior: still ? "auto" : "smooth" });
  }
  if (data.state !== "done") return;
  const range = element.querySelector("input[type=range]");
  range.max = data.steps;
  range.value = data.steps;
  range.oninput = () => { stop(); draw(data, Number(range.value)); };
  element.querySelector(".dl-play").onclick = () => {
    if (timer) return stop();
    range.value = 0;
    draw(data, 0);
    element.querySelector(".dl-play").textContent = "❚❚ Pause";
    timer = setInterval(() => {
      range.value = Number(range.value) + 1;
      draw(data, Number(range.value));
      if (Number(range.value) >= data.steps) stop();
    }, still ? 400 : Math.max(60, 3200 / data.steps));
  };
  draw(data, data.steps);
  element.querySelector(".dl-spoken").textContent =
    data.sides.map((side) => `${side.title}: ${side.samples.map((s) => s.text).join(" ")}`).join(". ");
};

watch("value", show);
show();
