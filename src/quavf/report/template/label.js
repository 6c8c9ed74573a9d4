// Labelling: stretches per person, drawn and typed, kept in this browser and in a file.
const startLabels = (page) => {
  const { data, make, find, clamp } = page;
  const end = Math.max(data.duration, 0.001);
  const server = data.labels.server;
  const bar = find("label-bar");
  const status = bar.querySelector(".status");
  const notice = bar.querySelector(".notice");
  const say = (text, ...buttons) => {
    notice.replaceChildren(make("span", {}, text), ...buttons);
    notice.hidden = !text;
  };
  const told = (text, bad = false) => {
    status.textContent = text;
    status.classList.toggle("bad", bad);
  };
  const tools = { end, ...stretchTools(end, clamp) };
  const { stretchAt, paint } = tools;
  const state = labelState(page, tools, say);
  const keeping = keepLabels(page, tools, state, { say, told });
  const lanes = labelLanes(page, tools, state, bar);
  state.touched = keeping.touched;

  // ---- actions -----------------------------------------------------------------------------------
  const label = (name) => {
    const p = state.person();
    if (!p) return;
    state.brush = name;
    const stretch = state.pickedStretch();
    if (stretch && !state.pen) {
      state.change(() => { state.picked = paint(p, stretch.start_s, stretch.end_s, name)?.start_s ?? null; });
    } else if (state.pen?.label === name) state.penUp();
    else {
      state.penUp();
      state.picked = null;
      state.pen = { label: name, from: page.now() };
      keeping.keep();
    }
    page.render();
  };
  const remove = () => {
    const p = state.person();
    if (state.pen) { state.pen = null; page.render(); return; }
    const stretch = state.pickedStretch() || stretchAt(p, page.now());
    if (stretch) state.give(p, stretch.start_s, stretch.end_s, null);
    state.picked = null;
    page.render();
  };
  const hop = (direction) => {
    const starts = (state.person()?.stretches || []).map((s) => s.start_s);
    const from = state.picked ?? page.now();
    const next = direction > 0 ? starts.find((t) => t > from + 1e-3) : starts.findLast((t) => t < from - 1e-3);
    if (next === undefined) return;
    state.picked = next;
    page.seek(next);
    page.reveal(next);
    page.render();
  };
  const move = (edge) => {
    const stretch = state.pickedStretch();
    if (!stretch) return say(`Pick a stretch first: click it, or press ${edge === "start" ? "[" : "]"}.`);
    const now = page.now();
    return edge === "start" ? state.resize(state.person(), stretch, now, stretch.end_s) : state.resize(state.person(), stretch, stretch.start_s, now);
  };
  const accept = () => {
    const p = state.person();
    const stretch = state.pickedStretch() || stretchAt(p, page.now());
    if (!stretch) return;
    state.confirm(p, [stretch]);
    const next = p.stretches.find((s) => !s.checked && s.start_s >= stretch.end_s - 1e-3);
    state.picked = next ? next.start_s : null;
    if (next) { page.seek(next.start_s); page.reveal(next.start_s); }
    page.render();
  };
  const walk = (direction) => {
    const at = state.people.findIndex((p) => p.person === state.chosen) + direction;
    if (state.people[at]) lanes.choose(state.people[at].person);
  };
  let back = 0;
  const shuttle = (direction) => { // J, K, L, as in editing rooms
    const { video } = page;
    clearInterval(back);
    back = 0;
    if (direction > 0) {
      if (!video.paused) page.setRate(Math.min(video.playbackRate * 1.5, 4));
      else { page.setRate(1); page.toggle(); }
    } else {
      if (!video.paused) page.toggle();
      page.setRate(1);
      if (direction < 0) back = setInterval(() => { page.seek(page.now() - 0.1); if (page.now() <= 0) { clearInterval(back); back = 0; } }, 100);
    }
  };

  const keys = {
    1: () => label("to_me"), 2: () => label("to_others"), 3: () => label("silent"),
    Escape: () => { if (state.pen) state.penUp(); state.picked = null; page.render(); },
    Delete: remove, Backspace: remove, Enter: accept,
    "[": () => hop(-1), "]": () => hop(1), q: () => move("start"), e: () => move("end"),
    ArrowUp: () => walk(-1), ArrowDown: () => walk(1),
    j: () => shuttle(-1), k: () => shuttle(0), l: () => shuttle(1),
    x: () => state.person() && state.split(state.person(), page.now()),
  };
  const onKey = (event) => {
    if (!state.active || event.target.closest?.("input, select, textarea")) return false;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      const act = { z: () => (event.shiftKey ? state.redo() : state.undo()), y: state.redo, s: keeping.saveFile }[name];
      if (!act || event.altKey) return false;
      event.preventDefault();
      act();
      return true;
    }
    if (event.altKey || !(name in keys)) return false;
    if (name === "Enter" && event.target.closest?.("button, a, summary")) return false;
    event.preventDefault();
    keys[name]();
    return true;
  };

  // ---- the bar and the mode -------------------------------------------------------------------------
  const chooser = make("input", { type: "file", accept: ".json,.csv", hidden: "", "aria-label": "Label file" });
  chooser.addEventListener("change", () => { if (chooser.files[0]) keeping.open(chooser.files[0]); chooser.value = ""; });
  bar.append(chooser);
  const acts = {
    undo: state.undo, redo: state.redo, delete: remove, draft: state.draft, accept,
    save: keeping.saveFile, open: () => chooser.click(), csv: keeping.saveTable,
    confirm: () => state.change(() => { for (const p of state.people) for (const s of p.stretches) if (!s.checked) paint(p, s.start_s, s.end_s, s.label); }),
  };
  for (const button of bar.querySelectorAll("[data-act]")) button.addEventListener("click", () => acts[button.dataset.act]());
  for (const button of bar.querySelectorAll("[data-label]")) {
    button.addEventListener("click", () => label(button.dataset.label));
  }
  find("timeline").addEventListener("click", (event) => { // the keys stay with the labels
    if (event.detail) event.target.closest("button")?.blur();
  });
  bar.querySelector("[data-act=save]").textContent = server ? "Save" : "Download";
  page.video.addEventListener("play", () => { if (state.active) { state.picked = null; page.render(); } });

  const mode = find("label-mode");
  const enter = (on) => {
    if (!on) state.penUp();
    state.active = on;
    document.body.classList.toggle("labelling", on);
    mode.setAttribute("aria-pressed", String(on));
    mode.textContent = on ? "Done" : "Label";
    bar.hidden = !on;
    lanes.root.hidden = !on;
    if (on && !state.people.some((p) => p.stretches.length)) {
      const yes = make("button", { type: "button" }, "Start from what quavf found");
      yes.addEventListener("click", () => { state.draft(); say("These are drafts: correct them, and press Enter on each that is right. Only what you confirm is a label."); });
      const no = make("button", { type: "button" }, "Start from nothing");
      no.addEventListener("click", () => say(""));
      say("Nothing is labelled.", yes, no);
    }
    page.render();
  };
  mode.hidden = !state.found.length;
  mode.addEventListener("click", () => enter(!state.active));
  addEventListener("pagehide", () => { if (state.active) state.penUp(); keeping.keep(); });

  keeping.begin();
  if (server || location.hash === "#label") enter(true);
  new ResizeObserver(() => state.active && page.render()).observe(lanes.root);
  let keptAt = 0;
  const onTime = () => { // a label is being given: draw it as it grows
    if (!state.active || !state.pen) return;
    if (Math.abs(page.now() - keptAt) > 0.5) { keptAt = page.now(); keeping.keep(); }
    lanes.renderLane(state.person());
  };
  return { onKey, onTime, render: lanes.render };
};
