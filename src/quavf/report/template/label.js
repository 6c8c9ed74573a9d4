// Labelling: stretches per person, drawn and typed, kept in this browser and in a file.
const startLabels = (page) => {
  const { data, make, draw, find, stamp, clamp, fixed, length } = page;
  const LABELS = { to_me: "To you", to_others: "To others", silent: "Silent" };
  const NAMES = Object.keys(LABELS);
  const SHORTEST = 0.04; // s: of a stretch
  const KEPT_STEPS = 300; // of undo
  const GRIP = 4; // px that the pointer moves before it draws
  const end = Math.max(data.duration, 0.001);
  const key = `quavf-labels:${data.labels.fingerprint || data.labels.video}:${data.labels.run}`;
  const server = data.labels.server;
  const root = find("label-lanes");
  const bar = find("label-bar");
  const round = (time) => Math.round(clamp(time, 0, end) * 1000) / 1000;
  const copy = (value) => JSON.parse(JSON.stringify(value));

  // ---- state ---------------------------------------------------------------------------------
  const fresh = () =>
    data.persons.map(({ number }) => ({ person: number, name: "", parts: [{ found: number, start_s: 0, end_s: round(end) }], stretches: [] }));
  let people = fresh();
  let undone = [];
  let done = [];
  let chosen = people[0]?.person ?? null; // the person whose lane takes the keys
  let picked = null; // start of the picked stretch of the chosen person
  let pen = null; // {label, from}: a label that is being given while the video plays
  let brush = "to_me"; // label of the next stretch that is drawn
  let active = false;
  let revision = server ? server.revision : null; // of the file that this state is based on
  let dirty = false;

  const person = (number = chosen) => people.find((p) => p.person === number);
  const title = (p) => p.name || `Person ${p.person}`;
  const stretchAt = (p, time) => p?.stretches.find((s) => time >= s.start_s && time < s.end_s);
  const pickedStretch = () => (picked === null ? undefined : person()?.stretches.find((s) => s.start_s === picked));

  const change = (edit) => {
    const before = JSON.stringify(people);
    edit();
    const after = JSON.stringify(people);
    if (after === before) return false;
    done.push(before);
    if (done.length > KEPT_STEPS) done.shift();
    undone = [];
    touched();
    return true;
  };
  const step = (from, to) => {
    if (!from.length) return;
    to.push(JSON.stringify(people));
    people = JSON.parse(from.pop());
    if (!person()) chosen = people[0]?.person ?? null;
    picked = null;
    pen = null;
    touched();
  };
  const undo = () => step(done, undone);
  const redo = () => step(undone, done);

  // The only edit of stretches: from start to end, this label and no other; null clears.
  const paint = (p, start, stop, label, checked = true) => {
    const [a, b] = [round(Math.min(start, stop)), round(Math.max(start, stop))];
    if (b - a < SHORTEST) return null;
    const kept = [];
    for (const s of p.stretches) {
      if (s.end_s <= a || s.start_s >= b) { kept.push(s); continue; }
      if (a - s.start_s >= SHORTEST) kept.push({ ...s, end_s: a });
      if (s.end_s - b >= SHORTEST) kept.push({ ...s, start_s: b });
    }
    let added = label && { start_s: a, end_s: b, label, checked };
    if (added) {
      kept.push(added);
      kept.sort((one, other) => one.start_s - other.start_s);
      const merged = [];
      for (const s of kept) {
        const last = merged.at(-1);
        const joins = last && last.label === s.label && last.checked === s.checked && s.start_s - last.end_s < 1e-6;
        if (!joins) { merged.push(s); continue; }
        const whole = { ...last, end_s: Math.max(last.end_s, s.end_s) };
        if (last === added || s === added) added = whole;
        merged[merged.length - 1] = whole;
      }
      p.stretches = merged;
    } else {
      p.stretches = kept;
    }
    return added;
  };
  const give = (p, start, stop, label) => {
    let added = null;
    change(() => { added = paint(p, start, stop, label); });
    return added;
  };
  const resize = (p, stretch, start, stop) => {
    if (stop - start < SHORTEST) return;
    change(() => {
      p.stretches = p.stretches.filter((s) => s.start_s !== stretch.start_s);
      picked = paint(p, start, stop, stretch.label)?.start_s ?? null;
    });
  };

  // ---- what the model found, as hints and as a draft --------------------------------------------
  const foundPerson = Object.fromEntries(data.persons.map((p) => [p.number, p]));
  const within = (stretches, part) =>
    (stretches || []).map(([a, b]) => [Math.max(a, part.start_s), Math.min(b, part.end_s)]).filter(([a, b]) => b > a);
  const hints = (p, name) => p.parts.flatMap((part) => within(foundPerson[part.found]?.[name], part)).sort((x, y) => x[0] - y[0]);
  const without = (stretches, others) =>
    others.reduce((left, [c, d]) => left.flatMap(([a, b]) => [[a, Math.min(b, c)], [Math.max(a, d), b]].filter(([x, y]) => y - x > 1e-6)), stretches);
  const seen = (p) => {
    const all = p.parts.flatMap((part) => without([[part.start_s, part.end_s]], foundPerson[part.found]?.unseen || []));
    return all.sort((x, y) => x[0] - y[0]);
  };
  const cues = data.persons.some((p) => p.speaking !== null);
  const draft = () => change(() => {
    for (const p of people) {
      p.stretches = p.stretches.filter((s) => s.checked);
      const taken = () => p.stretches.map((s) => [s.start_s, s.end_s]);
      const fill = (stretches, label) => {
        for (const [a, b] of without(stretches, taken())) paint(p, a, b, label, false);
      };
      fill(hints(p, "moments"), "to_me");
      fill(hints(p, "speaking"), "to_others");
      if (cues) fill(seen(p), "silent");
    }
  });
  const confirm = (p, stretches) => change(() => {
    for (const s of stretches) if (!s.checked) paint(p, s.start_s, s.end_s, s.label);
  });

  // ---- people --------------------------------------------------------------------------------
  const together = (one, other) =>
    seen(one).some(([a, b]) => seen(other).some(([c, d]) => Math.min(b, d) - Math.max(a, c) > 1));
  const join = (one, other) => {
    const [kept, gone] = one.person < other.person ? [one, other] : [other, one];
    if (together(kept, gone)) return say(`${title(kept)} and ${title(gone)} are in view at the same time, so they are two people.`);
    change(() => {
      kept.parts = [...kept.parts, ...gone.parts].sort((a, b) => a.start_s - b.start_s);
      for (const s of gone.stretches) paint(kept, s.start_s, s.end_s, s.label, s.checked);
      kept.name = kept.name || gone.name;
      people = people.filter((p) => p !== gone);
      chosen = kept.person;
    });
    return say(`${title(gone)} is joined to ${title(kept)}.`);
  };
  const split = (p, time) => {
    const at = round(time);
    const before = p.parts.filter((x) => x.start_s < at).map((x) => ({ ...x, end_s: Math.min(x.end_s, at) }));
    const after = p.parts.filter((x) => x.end_s > at).map((x) => ({ ...x, start_s: Math.max(x.start_s, at) }));
    if (!before.length || !after.length) return say(`${title(p)} cannot be split here: go to the time at which it becomes somebody else.`);
    const number = Math.max(...people.map((x) => x.person), ...data.persons.map((x) => x.number)) + 1;
    change(() => {
      const later = { person: number, name: "", parts: after, stretches: [] };
      for (const s of p.stretches) if (s.end_s > at) paint(later, Math.max(s.start_s, at), s.end_s, s.label, s.checked);
      paint(p, at, end, null);
      p.parts = before;
      people.splice(people.indexOf(p) + 1, 0, later);
    });
    return say(`From ${stamp(at)} on, ${title(p)} is Person ${number}.`);
  };

  // ---- keeping: this browser at once, then the file or the server --------------------------------
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
  const content = () => ({
    format: "quavf-labels", version: 1, video: data.labels.video, fingerprint: data.labels.fingerprint,
    run: data.labels.run, duration_s: round(end), people,
  });
  const keep = () => {
    const open = pen && { ...pen, person: chosen, to: page.now() }; // a crash must not lose it
    try {
      localStorage.setItem(key, JSON.stringify({ people, revision, dirty, pen: open }));
      return true;
    } catch (error) {
      return false;
    }
  };
  const kept = () => {
    try {
      return JSON.parse(localStorage.getItem(key) || "null");
    } catch (error) {
      return null;
    }
  };
  let timer = 0;
  let sending = false;
  const touched = () => {
    dirty = true;
    const isKept = keep();
    if (server) {
      told("Saving …");
      clearTimeout(timer);
      timer = setTimeout(() => save(false), 50);
    } else if (isKept) told("Kept in this browser. Download to use it.");
    else told("This browser keeps nothing: download before you leave.", true);
    page.render();
  };
  const save = async (force) => {
    if (sending) { clearTimeout(timer); timer = setTimeout(() => save(force), 300); return; }
    sending = true;
    const sent = JSON.stringify(people);
    try {
      const headers = { "Content-Type": "application/json", "X-Quavf": "label" };
      if (!force && revision) headers["If-Match"] = revision;
      const answer = await fetch(server.url, { method: "PUT", headers, body: JSON.stringify(content()) });
      const said = await answer.json();
      if (answer.status === 409) {
        const mine = make("button", { type: "button" }, "Keep these");
        mine.addEventListener("click", () => { say(""); save(true); });
        const theirs = make("button", { type: "button" }, "Take the file's");
        theirs.addEventListener("click", () => { take(said.labels.people); revision = said.revision; dirty = false; keep(); say(""); told("Saved"); });
        told("Not saved", true);
        say("The file was changed elsewhere, perhaps in another tab.", mine, theirs);
      } else if (!answer.ok) {
        told(`Not saved: ${said.error}`, true);
      } else {
        revision = said.revision;
        dirty = JSON.stringify(people) !== sent;
        keep();
        if (!dirty) told(`Saved in ${said.file}`);
        else timer = setTimeout(() => save(false), 300);
      }
    } catch (error) {
      told("Not saved: quavf label does not answer. Kept in this browser.", true);
      timer = setTimeout(() => save(false), 5000);
    }
    sending = false;
  };
  const download = (name, kind, text) => {
    const link = make("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: kind })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  const stem = data.labels.video.replace(/\.[^.]*$/, "") || "video";
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const table = () => {
    const rows = people.flatMap((p) => p.stretches.filter((s) => s.checked).map((s) => [quoted(data.labels.video), p.person, s.start_s.toFixed(3), s.end_s.toFixed(3), s.label].join(",")));
    return ["video,person,start_s,end_s,label", ...rows, ""].join("\n");
  };
  const saveFile = () => {
    if (server) return save(false);
    download(`${stem}.labels.json`, "application/json", JSON.stringify(content(), null, 1));
    dirty = false;
    keep();
    return told("Downloaded, and kept in this browser.");
  };
  const take = (wanted) => {
    people = copy(wanted);
    for (const p of people) {
      if (!p.parts?.length) p.parts = [{ found: p.person, start_s: 0, end_s: round(end) }];
      p.name = p.name || "";
      p.stretches = (p.stretches || []).map((s) => ({ ...s, checked: s.checked !== false }));
    }
    const known = new Set(people.flatMap((p) => p.parts.map((part) => part.found)));
    for (const p of fresh()) if (!known.has(p.person) && !people.some((x) => x.person === p.person)) people.push(p);
    if (!person()) chosen = people[0]?.person ?? null;
    picked = null;
    page.render();
  };
  const readTable = (text) => {
    const [head, ...rows] = text.replaceAll("\r", "").split("\n").filter((row) => row.trim());
    const names = (head || "").split(",").map((name) => name.trim());
    const at = Object.fromEntries(["person", "start_s", "end_s", "label"].map((name) => [name, names.indexOf(name) - names.length]));
    if (names.indexOf("person") < 0 || names.indexOf("label") < 0) throw new Error("it has no columns person and label");
    const wanted = fresh();
    for (const row of rows) {
      const cells = row.split(","); // counted from the end: a video's name may hold commas
      const p = wanted.find((x) => x.person === Number(cells.at(at.person)));
      const label = cells.at(at.label).trim();
      if (!p || !(label in LABELS)) throw new Error(`${row.slice(0, 60)}: no such person or label`);
      paint(p, Number(cells.at(at.start_s)), Number(cells.at(at.end_s)), label);
    }
    return wanted;
  };
  const open = async (file) => {
    const text = await file.text();
    try {
      let wanted;
      if (file.name.toLowerCase().endsWith(".csv")) wanted = readTable(text);
      else {
        const read = JSON.parse(text);
        if (read.format !== "quavf-labels" || read.version !== 1) throw new Error("it is no label file of this version");
        if (read.run && read.run !== data.labels.run) throw new Error("it belongs to another run, whose people have other numbers");
        wanted = read.people;
      }
      change(() => take(wanted));
      say(`${file.name} is open.`);
    } catch (error) {
      say(`${file.name} cannot be opened: ${error.message}.`);
    }
  };

  // ---- lanes -----------------------------------------------------------------------------------
  const TALL = 74, BLOCKS = 22; // px: of a track, and where its stretches begin
  let lanes = new Map();
  const build = () => {
    root.replaceChildren();
    lanes = new Map();
    for (const p of people) {
      const lane = make("article", { class: "lane label-lane", "aria-label": `Labels of ${title(p)}` });
      const who = make("div", { class: "who" });
      const words = make("div");
      words.append(make("h3", {}, title(p)), make("p"));
      who.append(page.face(foundPerson[p.parts[0].found] || { number: p.person }), words, menu(p));
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
    const self = () => person(p.person);
    item("Rename …", () => rename(p.person));
    item("From the playhead on, somebody else", () => split(self(), page.now()));
    for (const other of people) if (other.person !== p.person) item(`Same person as ${title(other)}`, () => join(self(), person(other.person)));
    item("Confirm all drafts", () => confirm(self(), self().stretches));
    item("Clear", () => change(() => { self().stretches = []; }));
    box.append(make("summary", { "aria-label": `More for ${title(p)}`, title: "More" }, "⋯"), list);
    box.addEventListener("toggle", () => { if (box.open) for (const one of root.querySelectorAll("details[open]")) if (one !== box) one.open = false; });
    return box;
  };
  const rename = (number) => {
    const field = make("input", { class: "rename", "aria-label": "Name", maxlength: "60" });
    const p = person(number);
    field.value = p.name;
    field.placeholder = `Person ${number}`;
    const heading = lanes.get(number).lane.querySelector("h3");
    heading.replaceChildren(field);
    field.focus();
    const finish = (keepIt) => { if (keepIt) change(() => { person(number).name = field.value.trim(); }); shape = ""; page.render(); };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") { field.removeEventListener("blur", leave); finish(event.key === "Enter"); }
    });
    const leave = () => finish(true);
    field.addEventListener("blur", leave);
  };
  const choose = (number, start = null) => {
    if (number !== chosen) penUp();
    chosen = number;
    picked = start;
    lanes.get(number)?.lane.scrollIntoView({ block: "nearest" });
    page.render();
  };

  let drawing = null; // {number, from, to, edge}: what the pointer does
  const watch = (number, track) => {
    const at = (event) => page.timeAt(event, track);
    track.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      const time = at(event);
      const hit = stretchAt(person(number), time);
      const edge = event.target.dataset.edge;
      const wasPicked = chosen === number && picked !== null && edge ? pickedStretch() : null;
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
      const p = person(number);
      if (edge && moved) {
        const [start, stop] = edge === "start" ? [to, hit.end_s] : [hit.start_s, to];
        resize(p, hit, start, stop);
      } else if (moved && !hit) {
        const added = give(p, from, to, brush);
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
    if (!active) return;
    const wanted = people.map((p) => `${p.person}/${p.name}/${p.parts[0].found}`).join("|");
    if (wanted !== shape) { shape = wanted; build(); }
    for (const p of people) renderLane(p);
    showPen();
    bar.querySelector("[data-act=undo]").disabled = !done.length;
    bar.querySelector("[data-act=redo]").disabled = !undone.length;
    bar.querySelector("[data-act=delete]").disabled = !pickedStretch() && !stretchAt(person(), page.now());
    const drafts = people.some((p) => p.stretches.some((s) => !s.checked));
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
    lane.classList.toggle("chosen", p.person === chosen);
    svg.replaceChildren();
    strip(svg, without([[0, end]], seen(p)), scale, { class: "unseen", y: BLOCKS - 2, height: TALL - BLOCKS + 2 });
    strip(svg, hints(p, "speaking"), scale, { class: "speaking", y: 12, height: 4, rx: 2 });
    strip(svg, hints(p, "moments"), scale, { class: "moment", y: 3, height: 6, rx: 3 });
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
      const isPicked = p.person === chosen && s.start_s === picked;
      let shown = s;
      if (isPicked && drawing?.edge && drawing.moved) shown = drawing.edge === "start" ? { ...s, start_s: Math.min(drawing.to, s.end_s) } : { ...s, end_s: Math.max(drawing.to, s.start_s) };
      block(shown, isPicked ? " picked" : "");
    }
    const now = page.now();
    if (pen && p.person === chosen) block({ start_s: Math.min(pen.from, now), end_s: Math.max(pen.from, now), label: pen.label, checked: true }, " live");
    if (drawing?.number === p.person && drawing.moved && !drawing.hit) block({ start_s: Math.min(drawing.from, drawing.to), end_s: Math.max(drawing.from, drawing.to), label: brush, checked: true }, " live");
    const total = p.stretches.filter((s) => s.checked).reduce((sum, s) => sum + s.end_s - s.start_s, 0);
    const drafts = p.stretches.filter((s) => !s.checked).length;
    brief.textContent = [total ? `${length(total)} labelled` : "nothing labelled", drafts ? `${drafts} to confirm` : ""].filter(Boolean).join(", ");
  };
  const showPen = () => {
    const stretch = pickedStretch();
    for (const button of bar.querySelectorAll("[data-label]")) {
      const on = pen ? pen.label === button.dataset.label : stretch ? stretch.label === button.dataset.label : false;
      button.setAttribute("aria-pressed", String(on));
      button.classList.toggle("live", Boolean(pen) && on);
      button.classList.toggle("brush", brush === button.dataset.label);
    }
  };

  // ---- actions -----------------------------------------------------------------------------------
  const penUp = () => {
    if (!pen) return;
    const { label, from } = pen;
    pen = null;
    if (person()) give(person(), from, page.now(), label);
    page.render();
  };
  const label = (name) => {
    const p = person();
    if (!p) return;
    brush = name;
    const stretch = pickedStretch();
    if (stretch && !pen) {
      change(() => { picked = paint(p, stretch.start_s, stretch.end_s, name)?.start_s ?? null; });
    } else if (pen?.label === name) penUp();
    else {
      penUp();
      picked = null;
      pen = { label: name, from: page.now() };
      keep();
    }
    page.render();
  };
  const remove = () => {
    const p = person();
    if (pen) { pen = null; page.render(); return; }
    const stretch = pickedStretch() || stretchAt(p, page.now());
    if (stretch) give(p, stretch.start_s, stretch.end_s, null);
    picked = null;
    page.render();
  };
  const hop = (direction) => {
    const starts = (person()?.stretches || []).map((s) => s.start_s);
    const from = picked ?? page.now();
    const next = direction > 0 ? starts.find((t) => t > from + 1e-3) : starts.findLast((t) => t < from - 1e-3);
    if (next === undefined) return;
    picked = next;
    page.seek(next);
    page.reveal(next);
    page.render();
  };
  const move = (edge) => {
    const stretch = pickedStretch();
    if (!stretch) return say(`Pick a stretch first: click it, or press ${edge === "start" ? "[" : "]"}.`);
    const now = page.now();
    return edge === "start" ? resize(person(), stretch, now, stretch.end_s) : resize(person(), stretch, stretch.start_s, now);
  };
  const accept = () => {
    const p = person();
    const stretch = pickedStretch() || stretchAt(p, page.now());
    if (!stretch) return;
    confirm(p, [stretch]);
    const next = p.stretches.find((s) => !s.checked && s.start_s >= stretch.end_s - 1e-3);
    picked = next ? next.start_s : null;
    if (next) { page.seek(next.start_s); page.reveal(next.start_s); }
    page.render();
  };
  const walk = (direction) => {
    const at = people.findIndex((p) => p.person === chosen) + direction;
    if (people[at]) choose(people[at].person);
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
    Escape: () => { if (pen) penUp(); picked = null; page.render(); },
    Delete: remove, Backspace: remove, Enter: accept,
    "[": () => hop(-1), "]": () => hop(1), q: () => move("start"), e: () => move("end"),
    ArrowUp: () => walk(-1), ArrowDown: () => walk(1),
    j: () => shuttle(-1), k: () => shuttle(0), l: () => shuttle(1),
    x: () => person() && split(person(), page.now()),
  };
  const onKey = (event) => {
    if (!active || event.target.closest?.("input, select, textarea")) return false;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      const act = { z: () => (event.shiftKey ? redo() : undo()), y: redo, s: saveFile }[name];
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
  chooser.addEventListener("change", () => { if (chooser.files[0]) open(chooser.files[0]); chooser.value = ""; });
  bar.append(chooser);
  const acts = {
    undo, redo, delete: remove, draft, accept, save: saveFile, open: () => chooser.click(),
    csv: () => download(`${stem}.labels.csv`, "text/csv", table()),
    confirm: () => change(() => { for (const p of people) for (const s of p.stretches) if (!s.checked) paint(p, s.start_s, s.end_s, s.label); }),
  };
  for (const button of bar.querySelectorAll("[data-act]")) button.addEventListener("click", () => acts[button.dataset.act]());
  for (const button of bar.querySelectorAll("[data-label]")) {
    button.addEventListener("click", () => label(button.dataset.label));
  }
  find("timeline").addEventListener("click", (event) => { // the keys stay with the labels
    if (event.detail) event.target.closest("button")?.blur();
  });
  bar.querySelector("[data-act=save]").textContent = server ? "Save" : "Download";
  page.video.addEventListener("play", () => { if (active) { picked = null; page.render(); } });

  const mode = find("label-mode");
  const enter = (on) => {
    if (!on) penUp();
    active = on;
    document.body.classList.toggle("labelling", on);
    mode.setAttribute("aria-pressed", String(on));
    mode.textContent = on ? "Done" : "Label";
    bar.hidden = !on;
    root.hidden = !on;
    if (on && !people.some((p) => p.stretches.length)) {
      const yes = make("button", { type: "button" }, "Start from what quavf found");
      yes.addEventListener("click", () => { draft(); say("These are drafts: correct them, and press Enter on each that is right. Only what you confirm is a label."); });
      const no = make("button", { type: "button" }, "Start from nothing");
      no.addEventListener("click", () => say(""));
      say("Nothing is labelled.", yes, no);
    }
    page.render();
  };
  mode.hidden = !data.persons.length;
  mode.addEventListener("click", () => enter(!active));
  addEventListener("pagehide", () => { if (active) penUp(); keep(); });

  const local = kept();
  if (local?.pen) {
    const holder = local.people.find((p) => p.person === local.pen.person);
    if (holder && paint(holder, local.pen.from, local.pen.to, local.pen.label)) local.dirty = true;
  }
  if (server?.labels) take(server.labels.people);
  if (local && (!server || (local.dirty && local.revision === revision))) {
    take(local.people);
    dirty = local.dirty;
    if (server) touched();
  } else if (local?.dirty) {
    const restore = make("button", { type: "button" }, "Restore them");
    restore.addEventListener("click", () => { change(() => take(local.people)); say(""); });
    say("This browser keeps unsaved labels, but the file is newer.", restore);
  }
  if (!server) told(local ? "Kept in this browser. Download to use it." : "");
  else if (!dirty) told(server.labels ? "Saved" : "");
  if (server || location.hash === "#label") enter(true);
  new ResizeObserver(() => active && page.render()).observe(root);
  let keptAt = 0;
  const onTime = () => { // a label is being given: draw it as it grows
    if (!active || !pen) return;
    if (Math.abs(page.now() - keptAt) > 0.5) { keptAt = page.now(); keep(); }
    renderLane(person());
  };
  return { onKey, onTime, render };
};
