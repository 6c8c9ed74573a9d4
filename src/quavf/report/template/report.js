(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const video = find("video");
  const timeline = find("timeline");
  const tip = find("tip");
  const axis = find("axis");
  const NS = "http://www.w3.org/2000/svg";
  const TOP = 14, CHART = 84, RIBBON = 8; // px: above the chart, the chart, the quality below it
  const MISSING = 255, FULL = 250; // how a score is packed into a byte
  const SHORTEST_VIEW = 5; // s
  const KEPT_LANES = 8; // more people than so: those who never talk fold away

  const branches = data.branches; // {name, title, colour} of those that have scores
  const lines = ["fused", ...branches.map(({ name }) => name)];
  const DASHES = [["4 3", "dashed"], ["none", "solid"], ["1.5 3", "dotted"]]; // of curve and key

  const end = Math.max(data.duration, 0.001);
  let view = [0, end];
  let now = 0;
  let hover = null; // s, where the pointer is

  // ---- small helpers ------------------------------------------------------------------------
  const make = (name, attributes = {}, text = null) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== null) element.textContent = text;
    return element;
  };
  const draw = (name, attributes = {}, parent = null) => {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (parent) parent.append(element);
    return element;
  };
  const paint = (element, index) => {
    const { name, colour } = branches[index];
    const [dash, key] = DASHES[index % DASHES.length];
    element.style.setProperty("--line", `var(--branch-${name}, color-mix(in srgb, ${colour} 85%, var(--ink)))`);
    element.style.setProperty("--dash", dash);
    element.style.setProperty("--key", key);
    return element;
  };
  const makeKey = (name) => {
    const index = branches.findIndex((branch) => branch.name === name);
    if (index < 0) return make("i", { class: `key key-${name}` });
    return paint(make("i", { class: "key key-branch" }), index);
  };
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const percent = (value) => `${Math.round(value * 100)} %`;
  const stamp = (seconds, decimals = 1) => {
    const unit = 10 ** decimals;
    const rounded = Math.round(seconds * unit) / unit;
    const h = Math.floor(rounded / 3600);
    const m = Math.floor(rounded / 60) % 60;
    const s = (rounded % 60).toFixed(decimals).padStart(decimals ? decimals + 3 : 2, "0");
    return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
  };
  const length = (seconds) =>
    seconds < 60
      ? `${seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds)} s`
      : `${Math.floor(Math.round(seconds) / 60)} min ${Math.round(seconds) % 60} s`;

  // ---- data: each column is one byte per step of time ----------------------------------------
  const unpack = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  for (const person of data.persons) {
    person.columns = {};
    for (const [name, text] of Object.entries(person.packed)) person.columns[name] = unpack(text);
    person.lane = null;
  }
  const valueAt = (person, name, time) => {
    const column = person.columns[name]; // each score holds until the next one
    const steps = (time - person.start) / person.step + 1e-6;
    if (!column || steps < 0 || steps > column.length + 1e-3) return null;
    const byte = column[Math.min(Math.floor(steps), column.length - 1)];
    return byte === MISSING ? null : byte / FULL;
  };
  const inside = (stretches, time) => (stretches || []).find(([a, b]) => time >= a && time < b);

  // ---- curves: never more points than the screen has columns ---------------------------------
  const curve = (person, name, width) => {
    const column = person.columns[name];
    if (!column) return [];
    const [from, to] = view;
    const first = Math.max(0, Math.floor((from - person.start) / person.step) - 1);
    const last = Math.min(column.length - 1, Math.ceil((to - person.start) / person.step) + 1);
    const scale = width / (to - from);
    const each = Math.max(1, Math.ceil(1 / (person.step * scale)));
    const runs = [];
    let run = null;
    for (let i = first - (first % each); i <= last; i += each) {
      let sum = 0, n = 0, low = MISSING, high = 0;
      for (let k = Math.max(i, 0); k < Math.min(i + each, column.length); k++) {
        const byte = column[k];
        if (byte === MISSING) continue;
        sum += byte; n += 1;
        if (byte < low) low = byte;
        if (byte > high) high = byte;
      }
      if (!n) { run = null; continue; }
      if (!run) runs.push((run = []));
      const time = person.start + (i + (each - 1) / 2) * person.step;
      run.push([(time - from) * scale, sum / n / FULL, low / FULL, high / FULL]);
    }
    for (const points of runs) {
      const [x, ...values] = points.at(-1);
      points.push([x + ((each + 1) / 2) * person.step * scale, ...values]); // holds for a step
    }
    runs.dense = each > 1;
    return runs;
  };
  const yOf = (value) => TOP + (1 - value) * CHART;
  const fixed = (number) => Math.round(number * 10) / 10;
  const linePath = (runs, pick = 1) =>
    runs.map((run) => "M" + run.map((p) => `${fixed(p[0])},${fixed(yOf(p[pick]))}`).join("L")).join("");
  const areaPath = (runs, low, high) =>
    runs.map((run) => {
      const upper = run.map((p) => `${fixed(p[0])},${fixed(high(p))}`);
      const lower = run.map((p) => `${fixed(p[0])},${fixed(low(p))}`).reverse();
      return `M${upper.join("L")}L${lower.join("L")}Z`;
    }).join("");

  // ---- lanes ---------------------------------------------------------------------------------
  const face = (person) => {
    const circle = make("span", { class: "face", "aria-hidden": "true" }, person.thumbnail ? null : person.number);
    if (person.thumbnail) circle.append(make("img", { src: person.thumbnail, alt: "", draggable: "false" }));
    return circle;
  };
  const hasTruth = data.persons.some((p) => p.truth !== null);
  const hasOthers = data.persons.some((p) => p.others !== null);
  const cues = ["speaking", "looking"].filter((name) => data.persons.some((p) => p[name] !== null));
  const BOTTOM = TOP + CHART;
  const ROW = 9; // px: of a cue, with the space above it
  const LABELS = BOTTOM + RIBBON + 13 + (cues.length ? 3 + ROW * cues.length : 0);
  const HEIGHT = hasTruth ? LABELS + 9 : LABELS - 7;

  const buildLane = (person) => {
    const lane = make("article", { class: "lane", "aria-label": `${person.name}: ${person.words}` });
    const who = make("div", { class: person.moments.length ? "who" : "who quiet" });
    const words = make("div");
    words.append(make("h3", { title: person.name }, person.name), make("p", {}, person.brief));
    const readout = make("div", { class: "readout", "aria-hidden": "true" });
    who.append(face(person), words, readout);
    const plot = make("div", { class: "plot" });
    plot.style.height = `${HEIGHT}px`;
    const svg = draw("svg", { "aria-hidden": "true" }, plot);
    const layer = {};
    for (const name of ["unseen", "tint", "rules"]) layer[name] = draw("g", {}, svg);
    layer.band = draw("path", { class: "fused-area", fill: "url(#ramp)" }, svg);
    branches.forEach(({ name }, index) => {
      layer[`line-${name}`] = paint(draw("path", { class: `branch-line ${name}-line` }, svg), index);
    });
    layer.fused = draw("path", { class: "fused-line", stroke: "url(#ramp)" }, svg);
    layer.quality = draw("path", { class: "quality-area" }, svg);
    for (const name of [...cues, "moments", "others", "truth"]) layer[name] = draw("g", {}, svg);
    plot.append(make("div", { class: "cursor" }), make("div", { class: "playhead" }));
    lane.append(who, plot);
    person.lane = { lane, plot, layer, readout };
    watchPlot(plot, person);
    return lane;
  };

  const bars = (group, stretches, width, style) => {
    group.replaceChildren();
    const [from, to] = view;
    const scale = width / (to - from);
    for (const [a, b] of stretches || []) {
      if (b < from || a > to) continue;
      const wide = Math.max((b - a) * scale, 3);
      draw("rect", { x: fixed((a - from) * scale), width: fixed(wide), ...style }, group);
    }
  };

  const renderLane = (person) => {
    const { plot, layer, lane } = person.lane;
    const width = plot.clientWidth;
    if (!width) return;
    const runs = Object.fromEntries(lines.map((name) => [name, curve(person, name, width)]));
    lane.classList.toggle("dense", Boolean(runs.fused.dense));
    layer.fused.setAttribute("d", linePath(runs.fused));
    layer.band.setAttribute("d", areaPath(runs.fused, () => BOTTOM, (p) => yOf(p[3])));
    for (const { name } of branches) layer[`line-${name}`].setAttribute("d", linePath(runs[name]));
    const base = BOTTOM + 6 + RIBBON;
    layer.quality.setAttribute("d", areaPath(curve(person, "quality", width), () => base, (p) => base - p[1] * RIBBON));
    bars(layer.unseen, person.unseen, width, { class: "unseen", y: TOP, height: CHART });
    bars(layer.tint, person.moments, width, { class: "tint", y: TOP, height: CHART });
    bars(layer.moments, person.moments, width, { class: "moment", y: 2, height: 6, rx: 3 });
    cues.forEach((name, index) => {
      bars(layer[name], person[name], width, { class: name, y: base + 7 + ROW * index, height: 5, rx: 2.5 });
    });
    bars(layer.others, person.others, width, { class: "other", y: LABELS, height: 8 });
    bars(layer.truth, person.truth, width, { class: "truth", y: LABELS, height: 8 });
    layer.rules.replaceChildren();
    for (const [value, kind] of [[0, "chart-grid"], [1, "chart-grid"], [data.threshold, "chart-limit"]]) {
      const y = Math.round(yOf(value)) + 0.5;
      draw("line", { class: kind, x1: 0, x2: width, y1: y, y2: y }, layer.rules);
    }
  };

  const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const renderAxis = () => {
    const svg = axis.querySelector("svg");
    const width = axis.clientWidth;
    const [from, to] = view;
    const scale = width / (to - from);
    const step = STEPS.find((s) => s * scale >= 72) || STEPS.at(-1);
    svg.replaceChildren();
    for (let t = Math.ceil(from / step - 1e-9) * step; t <= to + 1e-9; t += step) {
      const x = (t - from) * scale;
      draw("line", { x1: x, x2: x, y1: "80%", y2: "100%" }, svg);
      const anchor = x < 14 ? "start" : x > width - 18 ? "end" : "middle";
      const label = draw("text", { x: fixed(x), y: "46%", "text-anchor": anchor }, svg);
      label.textContent = stamp(t, step < 1 ? 1 : 0);
    }
  };

  const overview = document.querySelector(".overview");
  const renderOverview = () => {
    if (overview.hidden) return;
    const svg = overview.querySelector("svg");
    const width = overview.clientWidth;
    svg.replaceChildren();
    const talkers = data.persons.filter((p) => p.moments.length);
    const high = clamp(22 / Math.max(talkers.length, 1), 1.5, 8);
    const top = (30 - high * talkers.length) / 2;
    talkers.forEach((person, row) => {
      for (const [a, b] of person.moments) {
        draw("rect", { x: fixed((a / end) * width), width: fixed(Math.max(((b - a) / end) * width, 2)), y: top + row * high, height: Math.max(high - 1, 1) }, svg);
      }
    });
    placeWindow();
  };
  const placeWindow = () => {
    const width = overview.clientWidth;
    const part = overview.querySelector(".window");
    part.hidden = view[1] - view[0] >= end - 1e-6;
    part.style.transform = `translateX(${(view[0] / end) * width}px)`;
    part.style.width = `${Math.max(((view[1] - view[0]) / end) * width, 6)}px`;
    overview.querySelector(".mark").style.transform = `translateX(${(now / end) * width}px)`;
  };

  let labels = null; // the labelling mode, where there is one
  let waiting = 0;
  const render = () => {
    if (waiting) return;
    waiting = requestAnimationFrame(() => {
      waiting = 0;
      for (const person of data.persons) if (person.lane && !person.lane.lane.hidden) renderLane(person);
      renderAxis();
      renderOverview();
      zoomButtons();
      labels?.render();
      showNow();
    });
  };

  // ---- the playhead ----------------------------------------------------------------------------
  const toX = (time) => ((time - view[0]) / (view[1] - view[0])) * axis.clientWidth;
  const showReadouts = () => {
    const time = hover === null ? now : hover;
    for (const person of data.persons) {
      if (!person.lane || person.lane.lane.hidden) continue;
      const value = valueAt(person, "fused", time);
      const { readout } = person.lane;
      const text = value === null ? "–" : String(Math.round(value * 100));
      if (readout.dataset.text !== text) {
        readout.dataset.text = text;
        readout.textContent = text;
        if (value !== null) readout.append(make("small", {}, "%"));
      }
      readout.classList.toggle("yes", Boolean(inside(person.moments, time)));
    }
    find("clock").replaceChildren(make("b", {}, stamp(time)));
    elapsed.replaceChildren(make("b", {}, stamp(now)), ` / ${stamp(end)}`);
  };
  const elapsed = document.querySelector(".elapsed");
  let listed = [];
  const showNow = () => {
    timeline.style.setProperty("--now", `${fixed(toX(now))}px`);
    axis.setAttribute("aria-valuenow", now.toFixed(2));
    axis.setAttribute("aria-valuetext", `${stamp(now)} of ${stamp(end)}`);
    if (!overview.hidden) overview.querySelector(".mark").style.transform = `translateX(${(now / end) * overview.clientWidth}px)`;
    for (const entry of listed) {
      const { moment, button } = entry;
      const on = now >= moment[0] && now < moment[1];
      if (on === entry.on) continue;
      entry.on = on;
      if (on) keepInSight(button);
      button.classList.toggle("now", on);
      if (on) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
    }
    showReadouts();
  };
  const keepInSight = (button) => {
    const list = find("moments");
    if (list.scrollHeight <= list.clientHeight || list.matches(":hover, :focus-within")) return;
    list.scrollTop = button.offsetTop - list.offsetTop - list.clientHeight / 3;
  };
  const setNow = (time) => {
    now = clamp(time, 0, end);
    const [from, to] = view;
    if (!video.paused && (now < from || now > to)) show(now - (to - from) * 0.08, to - from);
    showNow();
    labels?.onTime();
  };
  const seek = (time) => {
    const wanted = clamp(time, 0, end);
    if (video.currentSrc && !video.error) video.currentTime = wanted + data.offset;
    setNow(wanted);
  };
  const tick = () => {
    setNow(video.currentTime - data.offset);
    if (!video.paused && !video.ended) requestAnimationFrame(tick);
  };
  const toggle = () => {
    if (!video.paused) video.pause();
    else video.play().catch(() => {});
  };
  const playFrom = (time) => {
    seek(time);
    reveal(time);
    if (video.currentSrc && !video.error) video.play().catch(() => {});
  };
  video.addEventListener("play", () => requestAnimationFrame(tick));
  for (const name of ["seeked", "timeupdate", "pause", "ended"]) {
    video.addEventListener(name, () => { if (video.paused && !video.seeking) setNow(video.currentTime - data.offset); });
  }

  // ---- the video's own controls: below the picture, which they must not hide ------------------
  const controls = document.querySelector(".controls");
  const RATES = [1, 1.5, 2, 0.5];
  const state = () => {
    controls.classList.toggle("playing", !video.paused);
    find("play").setAttribute("aria-label", video.paused ? "Play" : "Pause");
    controls.classList.toggle("muted", video.muted);
    find("mute").setAttribute("aria-pressed", String(video.muted));
  };
  controls.hidden = false;
  video.controls = false;
  find("mute").hidden = !data.sound;
  find("play").addEventListener("click", () => toggle());
  video.addEventListener("click", () => { if (!video.controls) toggle(); });
  find("mute").addEventListener("click", () => { video.muted = !video.muted; });
  const setRate = (rate) => {
    const shown = Math.round(rate * 100) / 100;
    video.playbackRate = rate;
    find("speed").textContent = `${shown}×`;
    find("speed").setAttribute("aria-label", `Speed: ${shown} times`);
  };
  find("speed").addEventListener("click", () => setRate(RATES[(RATES.indexOf(video.playbackRate) + 1) % RATES.length]));
  find("full").addEventListener("click", () => {
    if (video.requestFullscreen) video.requestFullscreen().catch(() => {});
    else if (video.webkitEnterFullscreen) video.webkitEnterFullscreen();
  });
  document.addEventListener("fullscreenchange", () => { video.controls = document.fullscreenElement === video; });
  for (const name of ["play", "pause", "ended", "volumechange"]) video.addEventListener(name, state);

  const noVideo = document.querySelector(".no-video");
  const failed = () => {
    video.hidden = true;
    controls.hidden = true;
    noVideo.hidden = false;
    noVideo.textContent = data.video
      ? `${data.video} cannot be played here. Keep it in the same folder as this page; the scores below work without it.`
      : "The video is not part of this report; the scores below work without it.";
  };
  if (!data.video) failed();
  video.addEventListener("error", failed);

  // ---- zoom --------------------------------------------------------------------------------------
  const canZoom = end > 30;
  const show = (from, span) => {
    const size = clamp(span, Math.min(SHORTEST_VIEW, end), end);
    const start = clamp(from, 0, end - size);
    view = [start, start + size];
    leave();
    render();
  };
  const zoom = (factor, centre) => {
    const [from, to] = view;
    const span = clamp((to - from) * factor, Math.min(SHORTEST_VIEW, end), end);
    show(centre - ((centre - from) / (to - from)) * span, span);
  };
  const zoomHere = (factor) => {
    const [from, to] = view;
    const span = clamp((to - from) * factor, Math.min(SHORTEST_VIEW, end), end);
    show((now >= from && now <= to ? now : (from + to) / 2) - span / 2, span);
  };
  const reveal = (time) => {
    const [from, to] = view;
    if (time < from || time > to) show(time - (to - from) * 0.2, to - from);
  };
  const zoomButtons = () => {
    if (!canZoom) return;
    const span = view[1] - view[0];
    for (const button of document.querySelectorAll("[data-zoom]")) {
      button.disabled = button.dataset.zoom === "in" ? span <= SHORTEST_VIEW + 1e-6 : span >= end - 1e-6;
    }
  };
  if (canZoom) {
    overview.hidden = false;
    document.querySelector(".zoom").hidden = false;
    const act = { in: () => zoomHere(1 / 2), out: () => zoomHere(2), all: () => show(0, end) };
    for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => act[button.dataset.zoom]());
    find("lanes").addEventListener("wheel", (event) => {
      const span = view[1] - view[0];
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        zoom(Math.exp(event.deltaY * 0.004), timeAt(event, axis));
      } else if (span < end - 1e-6 && (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY))) {
        event.preventDefault();
        show(view[0] + ((event.deltaX || event.deltaY) / axis.clientWidth) * span, span);
      }
    }, { passive: false });
    let grip = null;
    overview.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      const span = view[1] - view[0];
      const time = overviewTime(event);
      if (span >= end - 1e-6) { grip = null; seek(time); overview.setPointerCapture(event.pointerId); grip = "seek"; return; }
      grip = time >= view[0] && time <= view[1] ? time - view[0] : span / 2;
      show(time - grip, span);
      overview.setPointerCapture(event.pointerId);
    });
    overview.addEventListener("pointermove", (event) => {
      if (grip === "seek") seek(overviewTime(event));
      else if (grip !== null) show(overviewTime(event) - grip, view[1] - view[0]);
    });
    for (const name of ["pointerup", "pointercancel"]) overview.addEventListener(name, () => { grip = null; });
  } else {
    for (const element of document.querySelectorAll(".if-zoom")) element.hidden = true;
  }
  const overviewTime = (event) => {
    const box = overview.getBoundingClientRect();
    return clamp((event.clientX - box.left) / box.width, 0, 1) * end;
  };

  // ---- pointer -------------------------------------------------------------------------------------
  const timeAt = (event, element) => {
    const box = element.getBoundingClientRect();
    const share = clamp((event.clientX - box.left) / box.width, 0, 1);
    return view[0] + share * (view[1] - view[0]);
  };
  const scrub = (element) => {
    let held = false;
    element.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      held = event.pointerType === "mouse";
      if (held) { element.setPointerCapture(event.pointerId); seek(timeAt(event, element)); }
    });
    element.addEventListener("pointermove", (event) => { if (held) seek(timeAt(event, element)); });
    element.addEventListener("click", (event) => seek(timeAt(event, element)));
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, () => { held = false; });
  };
  const leave = () => {
    hover = null;
    tip.hidden = true;
    timeline.classList.remove("hovering");
    showReadouts();
  };
  const watchPlot = (plot, person) => {
    scrub(plot);
    plot.addEventListener("pointermove", (event) => {
      hover = timeAt(event, plot);
      timeline.classList.add("hovering");
      timeline.style.setProperty("--at", `${fixed(toX(hover))}px`);
      showReadouts();
      showTip(person, event);
    });
    plot.addEventListener("pointerleave", leave);
    plot.addEventListener("pointercancel", leave);
  };
  const labelAt = (person, time) => {
    if (inside(person.truth, time)) return "talking to you";
    if (!person.others) return "not talking to you";
    return inside(person.others, time) ? "talking, not to you" : "none";
  };
  const CUES = { speaking: "Speaking", looking: "Looking at you" };
  const showTip = (person, event) => {
    const row = (key, name, text) => {
      const line = make("div");
      line.append(makeKey(key), make("span", {}, name), make("b", {}, text));
      return line;
    };
    const head = make("header");
    head.append(make("span", {}, person.name), make("span", {}, stamp(hover)));
    const rows = [];
    const fused = valueAt(person, "fused", hover);
    if (fused === null) rows.push(make("span", {}, person.others ? "no score here" : "not in view"));
    else {
      const named = branches.map(({ name, title }) => [name, `From the ${title.toLowerCase()}`]);
      const told = cues.map((name) => [name, CUES[name]]);
      for (const [key, name] of [["fused", "Talking to you"], ...named, ["quality", "Face quality"], ...told]) {
        const value = valueAt(person, key, hover);
        if (value === null && key in CUES && !person.columns[key]) continue;
        rows.push(row(key, name, value === null ? "–" : percent(value)));
      }
    }
    const notes = [];
    const moment = inside(person.moments, hover);
    if (moment) notes.push(`Moment of ${length(moment[1] - moment[0])}, ${percent(moment[2])} sure`);
    if (person.truth) notes.push(`Label: ${labelAt(person, hover)}`);
    const parts = [head, ...rows];
    if (notes.length) {
      const foot = make("footer");
      notes.forEach((text, i) => { if (i) foot.append(make("br")); foot.append(text); });
      parts.push(foot);
    }
    tip.replaceChildren(...parts);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const side = event.clientX + 18 + box.width > innerWidth - 8 ? event.clientX - 18 - box.width : event.clientX + 18;
    const x = clamp(side, 8, innerWidth - box.width - 8);
    const y = clamp(event.clientY - box.height / 2, 8, innerHeight - box.height - 8);
    tip.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  };

  // ---- keys ------------------------------------------------------------------------------------------
  const hop = (direction) => {
    const starts = listed.map(({ moment }) => moment[0]);
    const next = direction > 0 ? starts.find((t) => t > now + 0.05) : starts.findLast((t) => t < now - 0.3);
    if (next !== undefined) { seek(next); reveal(next); }
  };
  const keys = {
    ArrowLeft: (e) => seek(now - (e.shiftKey ? 10 : 1)),
    ArrowRight: (e) => seek(now + (e.shiftKey ? 10 : 1)),
    Home: () => seek(0),
    End: () => seek(end),
    ",": () => seek(now - 1 / data.fps),
    ".": () => seek(now + 1 / data.fps),
    n: () => hop(1),
    p: () => hop(-1),
    "+": () => canZoom && zoomHere(1 / 2),
    "=": () => canZoom && zoomHere(1 / 2),
    "-": () => canZoom && zoomHere(2),
    0: () => canZoom && show(0, end),
  };
  document.addEventListener("keydown", (event) => {
    if (labels?.onKey(event) || event.target.closest?.("input")) return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const button = event.target.closest?.("button, a, summary");
    if (event.key === " ") {
      if (button) return; // a focused button is pressed by it
      event.preventDefault();
      toggle();
      return;
    }
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
    if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") reveal(now);
  }, true);

  // ---- build ---------------------------------------------------------------------------------------------
  const legend = document.querySelector(".legend");
  const has = (name) => data.persons.some((p) => p.packed[name]);
  const shown = [["fused", "Talking to you"], ...branches.map(({ name, title }) => [name, title]), ["quality", "Face quality"]].filter(([name]) => has(name));
  for (const name of cues) shown.push([name, CUES[name]]);
  if (hasTruth) shown.push(hasOthers ? ["truth", "Label: to you"] : ["truth", "Labels"]);
  if (hasOthers) shown.push(["other", "Label: to others"]);
  for (const [key, name] of shown) {
    const button = make("button", { type: "button", "aria-pressed": "true" });
    button.append(makeKey(key), name);
    button.addEventListener("click", () => {
      const hidden = timeline.classList.toggle(`hide-${key}`);
      for (const { lane } of data.persons) lane.layer[`line-${key}`]?.classList.toggle("off", hidden);
      button.setAttribute("aria-pressed", String(!hidden));
    });
    legend.append(button);
  }
  const missing = Object.fromEntries(Object.keys(CUES).map((name) => [name, !cues.includes(name)]));
  const absent = { ...missing, published: !data.published, boxes: data.video !== "annotated.mp4", truth: !hasTruth, other: !hasOthers, quality: !has("quality") };
  for (const [name, isAbsent] of Object.entries(absent)) {
    if (isAbsent) for (const element of document.querySelectorAll(`.if-${name}`)) element.hidden = true;
  }

  branches.forEach((_, index) => paint(document.querySelectorAll(".meaning .key-branch")[index], index));

  const shapes = draw("svg", { width: 0, height: 0, "aria-hidden": "true" }, document.body);
  shapes.style.position = "absolute";
  const defs = draw("defs", {}, shapes);
  const ramp = draw("linearGradient", { id: "ramp", gradientUnits: "userSpaceOnUse", x1: 0, x2: 0, y1: yOf(0.25), y2: yOf(0.75) }, defs);
  draw("stop", { offset: 0, class: "stop-no" }, ramp).style.stopColor = "var(--no)";
  draw("stop", { offset: 1, class: "stop-yes" }, ramp).style.stopColor = "var(--yes)";
  const hatch = draw("pattern", { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, defs);
  draw("rect", { width: 1.4, height: 5 }, hatch).style.fill = "var(--truth)";

  const lanes = find("lanes");
  for (const person of data.persons) lanes.append(buildLane(person));
  if (!data.persons.length) {
    lanes.append(make("p", { class: "empty" }, "No faces, so there is nobody to follow over time."));
    legend.hidden = true;
  }
  const quiet = data.persons.filter((p) => !p.moments.length && !(p.truth || []).length && !(p.others || []).length);
  if (data.persons.length > KEPT_LANES && quiet.length > 1) {
    const more = document.querySelector(".more");
    const fold = (folded) => {
      for (const person of quiet) person.lane.lane.hidden = folded;
      more.setAttribute("aria-expanded", String(!folded));
      more.textContent = folded ? `Show ${quiet.length} people who did not talk to you` : "Hide people who did not talk to you";
      render();
    };
    more.hidden = false;
    more.addEventListener("click", () => fold(more.getAttribute("aria-expanded") === "true"));
    fold(true);
  }

  const list = find("moments");
  const all = data.persons.flatMap((person) => person.moments.map((moment) => ({ person, moment })));
  all.sort((a, b) => a.moment[0] - b.moment[0] || a.person.number - b.person.number);
  for (const { person, moment } of all) {
    const [from, to, sure] = moment;
    const label = `${person.name}, from ${stamp(from)} for ${length(to - from)}, ${percent(sure)} sure`;
    const button = make("button", { type: "button", "aria-label": label });
    const text = make("span");
    text.append(make("span", { class: "name" }, person.name), make("span", { class: "when" }, `${stamp(from)} – ${stamp(to)} · ${length(to - from)}`));
    button.append(face(person), text, make("span", { class: "sure" }, percent(sure)));
    button.addEventListener("click", () => playFrom(from));
    const item = make("li");
    item.append(button);
    list.append(item);
    listed.push({ moment, button, on: false });
  }
  document.querySelector(".count").textContent = all.length || "";
  if (!all.length) {
    list.hidden = true;
    const nothing = document.querySelector(".nothing");
    nothing.hidden = false;
    nothing.textContent = data.nothing;
  }

  axis.setAttribute("aria-valuemax", end.toFixed(2));
  scrub(axis);
  document.documentElement.style.setProperty("--ratio", String(clamp(data.size[0] / data.size[1], 0.5, 2.4)));
  new ResizeObserver(render).observe(lanes);
  const slot = document.querySelector(".slot");
  const wide = matchMedia("(min-width: 900px)");
  const dock = (visible) => {
    const away = wide.matches && !visible && !video.hidden && data.persons.length > 0;
    if (away && !slot.style.height) slot.style.height = `${slot.offsetHeight}px`;
    if (!away) slot.style.height = "";
    slot.classList.toggle("away", away);
  };
  new IntersectionObserver(([entry]) => dock(entry.intersectionRatio > 0.3), { threshold: [0, 0.3, 0.5] }).observe(slot);
  if (data.labels) {
    const tools = { make, draw, stamp, clamp, fixed, length, face, find };
    const clock = { now: () => now, view: () => view, seek, reveal, toggle, setRate, timeAt, video };
    labels = startLabels({ data, render, ...tools, ...clock });
  } else find("label-mode").hidden = true;
  setNow(0);
  render();
})();
