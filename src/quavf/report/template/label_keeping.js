// Where labels are kept: in this browser at once, then in a file that is downloaded, or on a server.
const keepLabels = (page, tools, state, { say, told }) => {
  const { data, make } = page;
  const { end, round, paint } = tools;
  const server = data.labels.server;
  const key = `quavf-labels:${data.labels.fingerprint || data.labels.video}:${data.labels.run}`;
  let revision = server ? server.revision : null; // of the file that this state is based on
  let dirty = false;

  const content = () => ({
    format: "quavf-labels", version: 1, video: data.labels.video, fingerprint: data.labels.fingerprint,
    run: data.labels.run, duration_s: round(end), people: state.people,
  });
  const keep = () => {
    const open = state.pen && { ...state.pen, person: state.chosen, to: page.now() }; // a crash must not lose it
    try {
      localStorage.setItem(key, JSON.stringify({ people: state.people, revision, dirty, pen: open }));
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
    const sent = JSON.stringify(state.people);
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
        dirty = JSON.stringify(state.people) !== sent;
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
    const named = state.people.some((p) => p.name && p.stretches.some((s) => s.checked));
    const who = (p) => (named ? [p.person, quoted(p.name)] : [p.person]);
    const rows = state.people.flatMap((p) => p.stretches.filter((s) => s.checked).map((s) => [quoted(data.labels.video), ...who(p), s.start_s.toFixed(3), s.end_s.toFixed(3), s.label].join(",")));
    return [`video,person,${named ? "name," : ""}start_s,end_s,label`, ...rows, ""].join("\n");
  };
  const saveFile = () => {
    if (server) return save(false);
    download(`${stem}.labels.json`, "application/json", JSON.stringify(content(), null, 1));
    dirty = false;
    keep();
    return told("Downloaded, and kept in this browser.");
  };
  const take = (wanted) => {
    state.people = JSON.parse(JSON.stringify(wanted));
    for (const p of state.people) {
      if (!p.parts?.length) p.parts = [{ found: p.person, start_s: 0, end_s: round(end) }];
      p.name = p.name || "";
      p.stretches = (p.stretches || []).map((s) => ({ ...s, checked: s.checked !== false }));
    }
    const known = new Set(state.people.flatMap((p) => p.parts.map((part) => part.found)));
    for (const p of state.fresh()) if (!known.has(p.person) && !state.people.some((x) => x.person === p.person)) state.people.push(p);
    if (!state.person()) state.chosen = state.people[0]?.person ?? null;
    state.picked = null;
    page.render();
  };
  const cut = (row) => { // at its commas, but for those within quotes
    const cells = row.match(/(?:"(?:[^"]|"")*"|[^,])*(?:,|$)/g).slice(0, row.endsWith(",") ? undefined : -1);
    const bare = cells.map((cell) => cell.replace(/,$/, "").trim());
    return bare.map((cell) => (/^".*"$/.test(cell) ? cell.slice(1, -1).replaceAll('""', '"') : cell));
  };
  const readTable = (text) => {
    const [head, ...rows] = text.replaceAll("\r", "").split("\n").filter((row) => row.trim());
    const names = cut(head || "");
    if (!names.includes("person") || !names.includes("label")) throw new Error("it has no columns person and label");
    const wanted = state.fresh();
    for (const row of rows) {
      const cells = cut(row);
      const at = (name) => cells[names.indexOf(name)];
      const p = wanted.find((x) => x.person === Number(at("person")));
      if (!p || !(at("label") in LABELS)) throw new Error(`${row.slice(0, 60)}: no such person or label`);
      p.name = p.name || at("name") || "";
      paint(p, Number(at("start_s")), Number(at("end_s")), at("label"));
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
      state.change(() => take(wanted));
      say(`${file.name} is open.`);
    } catch (error) {
      say(`${file.name} cannot be opened: ${error.message}.`);
    }
  };
  const begin = () => { // what this browser, or the file, holds from before
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
      restore.addEventListener("click", () => { state.change(() => take(local.people)); say(""); });
      say("This browser keeps unsaved labels, but the file is newer.", restore);
    }
    if (!server) told(local ? "Kept in this browser. Download to use it." : "");
    else if (!dirty) told(server.labels ? "Saved" : "");
  };
  const saveTable = () => download(`${stem}.labels.csv`, "text/csv", table());
  return { keep, touched, saveFile, saveTable, open, begin };
};
