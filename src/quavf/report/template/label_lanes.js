// The lanes in which stretches are drawn, one for each person.
const labelLanes = (page, tools, state, bar) => {
  const { make, draw, find, clamp, fixed, length } = page;
  const { end, stretchAt, without } = tools;
  const GRIP = 4; // px that the pointer moves before it draws
  const root = find("label-lanes");
  const TALL = 74, BLOCKS = 22; // px: of a track, and where its stretches begin
  let lanes = new Map();
  const build = () => {
    root.replaceChildren();
    lanes = new Map();
    for (const p of state.people) {
      const lane = make("article", { class: "lane label-lane", "aria-label": `Labels of ${state.title(p)}` });
      const who = make("div", { class: "who" });
      const words = make("div");
      words.append(make("h3", {}, state.title(p)), make("p"));
      who.append(page.face(state.foundPerson[p.parts[0].found] || { number: p.person }), words, menu(p));
      who.addEventListener("click", (event) => { if (!event.target.closest(".menu")) choose(p.person); });
      const track = make("div", { class: "plot track" });
      track.style.height = `${TALL}px`;
      const svg = draw("svg", { "aria-hidden": "true" }, track);
      const blocks = make("div", { class: "blocks" });
      track.append(blocks, make("div", { class: "cursor" }), make("div", { class: "playhead" }));
      lane.append(who, track);
      root.append(lane);
      lanes.set(p.person, { lane, track, svg, blocks, brief: words.querySelector("p") });
      watch(p.person, track);
    }
  };
  const menu = (p) => {
    const box = make("details", { class: "menu" });
    const list = make("div", { class: "menu-list" });
    const item = (text, act) => {
      const button = make("button", { type: "button" }, text);
      button.addEventListener("click", () => { box.open = false; act(); });
      list.append(button);
    };
    const self = () => state.person(p.person);
    item("Rename …", () => rename(p.person));
    item("From the playhead on, somebody else", () => state.split(self(), page.now()));
    for (const other of state.people) if (other.person !== p.person) item(`Same person as ${state.title(other)}`, () => state.join(self(), state.person(other.person)));
    item("Confirm all drafts", () => state.confirm(self(), self().stretches));
    item("Clear", () => state.change(() => { self().stretches = []; }));
    box.append(make("summary", { "aria-label": `More for ${state.title(p)}`, title: "More" }, "⋯"), list);
    box.addEventListener("toggle", () => { if (box.open) for (const one of root.querySelectorAll("details[open]")) if (one !== box) one.open = false; });
    return box;
  };
  const rename = (number) => {
    const field = make("input", { class: "rename", "aria-label": "Name", maxlength: "60" });
    const p = state.person(number);
    field.value = p.name;
    field.placeholder = `Person ${number}`;
    const heading = lanes.get(number).lane.querySelector("h3");
    heading.replaceChildren(field);
    field.focus();
    const finish = (keepIt) => { if (keepIt) state.change(() => { state.person(number).name = field.value.trim(); }); shape = ""; page.render(); };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") { field.removeEventListener("blur", leave); finish(event.key === "Enter"); }
    });
    const leave = () => finish(true);
    field.addEventListener("blur", leave);
  };
  const choose = (number, start = null) => {
    if (number !== state.chosen) state.penUp();
    state.chosen = number;
    state.picked = start;
    lanes.get(number)?.lane.scrollIntoView({ block: "nearest" });
    page.render();
  };

  let drawing = null; // {number, from, to, edge}: what the pointer does
  const watch = (number, track) => {
    const at = (event) => page.timeAt(event, track);
    track.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      const time = at(event);
      const hit = stretchAt(state.person(number), time);
      const edge = event.target.dataset.edge;
      const wasPicked = state.chosen === number && state.picked !== null && edge ? state.pickedStretch() : null;
      drawing = { number, from: time, to: time, x: event.clientX, moved: false, edge: wasPicked ? edge : null, hit: wasPicked || hit };
      track.setPointerCapture(event.pointerId);
    });
    track.addEventListener("pointermove", (event) => {
      if (!drawing || drawing.number !== number) return;
      if (Math.abs(event.clientX - drawing.x) > GRIP) drawing.moved = true;
      drawing.to = at(event);
      if (drawing.moved && drawing.hit && !drawing.edge) page.seek(drawing.to);
      page.render();
    });
    track.addEventListener("pointerup", () => {
      if (!drawing || drawing.number !== number) return;
      const { from, to, moved, edge, hit } = drawing;
      drawing = null;
      const p = state.person(number);
      if (edge && moved) {
        const [start, stop] = edge === "start" ? [to, hit.end_s] : [hit.start_s, to];
        state.resize(p, hit, start, stop);
      } else if (moved && !hit) {
        const added = state.give(p, from, to, state.brush);
        choose(number, added ? added.start_s : null);
      } else {
        choose(number, hit ? hit.start_s : null);
        page.seek(to);
      }
      page.render();
    });
    track.addEventListener("pointercancel", () => { drawing = null; page.render(); });
  };

  let shape = ""; // of the people that the lanes were built for
  const render = () => {
    if (!state.active) return;
    const wanted = state.people.map((p) => `${p.person}/${p.name}/${p.parts[0].found}`).join("|");
    if (wanted !== shape) { shape = wanted; build(); }
    for (const p of state.people) renderLane(p);
    showPen();
    bar.querySelector("[data-act=undo]").disabled = !state.canUndo();
    bar.querySelector("[data-act=redo]").disabled = !state.canRedo();
    bar.querySelector("[data-act=delete]").disabled = !state.pickedStretch() && !stretchAt(state.person(), page.now());
    const drafts = state.people.some((p) => p.stretches.some((s) => !s.checked));
    for (const name of ["accept", "confirm"]) bar.querySelector(`[data-act=${name}]`).hidden = !drafts;
  };
  const strip = (svg, stretches, scale, style) => {
    const [from, to] = page.view();
    for (const [a, b] of stretches) {
      if (b < from || a > to) continue;
      draw("rect", { x: fixed((a - from) * scale), width: fixed(Math.max((b - a) * scale, 2)), ...style }, svg);
    }
  };
  const renderLane = (p) => {
    const { lane, track, svg, blocks, brief } = lanes.get(p.person);
    const width = track.clientWidth;
    if (!width) return;
    const [from, to] = page.view();
    const scale = width / (to - from);
    lane.classList.toggle("chosen", p.person === state.chosen);
    svg.replaceChildren();
    strip(svg, without([[0, end]], state.seen(p)), scale, { class: "unseen", y: BLOCKS - 2, height: TALL - BLOCKS + 2 });
    strip(svg, state.hints(p, "speaking"), scale, { class: "speaking", y: 12, height: 4, rx: 2 });
    strip(svg, state.hints(p, "moments"), scale, { class: "moment", y: 3, height: 6, rx: 3 });
    blocks.replaceChildren();
    const block = (s, extra = "") => {
      if (s.end_s < from || s.start_s > to) return;
      const [left, right] = [clamp((s.start_s - from) * scale, -9, width + 9), clamp((s.end_s - from) * scale, -9, width + 9)];
      const element = make("div", { class: `block ${s.label}${s.checked ? "" : " draft"}${extra}`, "data-start": s.start_s, "data-end": s.end_s });
      element.style.left = `${left}px`;
      element.style.width = `${Math.max(right - left, 2)}px`;
      element.style.top = `${BLOCKS}px`;
      if (right - left > 62) element.append(make("span", {}, LABELS[s.label]));
      if (extra.includes("picked")) element.append(make("i", { "data-edge": "start" }), make("i", { "data-edge": "end" }));
      blocks.append(element);
    };
    for (const s of p.stretches) {
      const isPicked = p.person === state.chosen && s.start_s === state.picked;
      let shown = s;
      if (isPicked && drawing?.edge && drawing.moved) shown = drawing.edge === "start" ? { ...s, start_s: Math.min(drawing.to, s.end_s) } : { ...s, end_s: Math.max(drawing.to, s.start_s) };
      block(shown, isPicked ? " picked" : "");
    }
    const now = page.now();
    if (state.pen && p.person === state.chosen) block({ start_s: Math.min(state.pen.from, now), end_s: Math.max(state.pen.from, now), label: state.pen.label, checked: true }, " live");
    if (drawing?.number === p.person && drawing.moved && !drawing.hit) block({ start_s: Math.min(drawing.from, drawing.to), end_s: Math.max(drawing.from, drawing.to), label: state.brush, checked: true }, " live");
    const total = p.stretches.filter((s) => s.checked).reduce((sum, s) => sum + s.end_s - s.start_s, 0);
    const drafts = p.stretches.filter((s) => !s.checked).length;
    brief.textContent = [total ? `${length(total)} labelled` : "nothing labelled", drafts ? `${drafts} to confirm` : ""].filter(Boolean).join(", ");
  };
  const showPen = () => {
    const stretch = state.pickedStretch();
    for (const button of bar.querySelectorAll("[data-label]")) {
      const on = state.pen ? state.pen.label === button.dataset.label : stretch ? stretch.label === button.dataset.label : false;
      button.setAttribute("aria-pressed", String(on));
      button.classList.toggle("live", Boolean(state.pen) && on);
      button.classList.toggle("brush", state.brush === button.dataset.label);
    }
  };
  return { root, render, renderLane, choose };
};
