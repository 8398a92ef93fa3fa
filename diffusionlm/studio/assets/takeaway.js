// The code that does the same, with buttons that copy it.
const put = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {  // pages without https have no clipboard of their own
    const area = document.createElement("textarea");
    area.value = text;
    area.style.position = "fixed";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
};
const show = () => {
  const data = JSON.parse(props.value || "{}");
  element.querySelector(".dl-takeaway").hidden = !data.python;
  for (const kind of ["python", "command"]) {
    const box = element.querySelector(`[data-kind=${kind}]`);
    box.querySelector("code").textContent = data[kind] || "";
    const button = box.querySelector("button"), label = button.dataset.label;
    button.textContent = label;
    button.onclick = async () => {
      button.textContent = (await put(data[kind])) ? "Copied" : "Select the text and copy it";
      setTimeout(() => { button.textContent = label; }, 1600);
    };
  }
};
watch("value", show);
show();
