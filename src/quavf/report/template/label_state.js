// What is labelled of whom: the people, every change of them, and undo.
const labelState = (page, tools, say) => {
  const { data, stamp } = page;
  const { SHORTEST, end, round, paint, within, without } = tools;
  const KEPT_STEPS = 300; // of undo
  const found = data.labels.found || data.persons; // the page may show people as they were labelled
  const fresh = () =>
    found.map(({ number }) => ({ person: number, name: "", parts: [{ found: number, start_s: 0, end_s: round(end) }], stretches: [] }));
  const state = {
    people: fresh(),
    chosen: null, // the person whose lane takes the keys
    picked: null, // start of the picked stretch of the chosen person
    pen: null, // {label, from}: a label that is being given while the video plays
    brush: "to_me", // label of the next stretch that is drawn
    active: false,
    touched: () => {}, // called after every change
  };
  state.chosen = state.people[0]?.person ?? null;
  let undone = [];
  let done = [];

  const person = (number = state.chosen) => state.people.find((p) => p.person === number);
  const title = (p) => p.name || `Person ${p.person}`;
  const pickedStretch = () => (state.picked === null ? undefined : person()?.stretches.find((s) => s.start_s === state.picked));

  const change = (edit) => {
    const before = JSON.stringify(state.people);
    edit();
    const after = JSON.stringify(state.people);
    if (after === before) return false;
    done.push(before);
    if (done.length > KEPT_STEPS) done.shift();
    undone = [];
    state.touched();
    return true;
  };
  const step = (from, to) => {
    if (!from.length) return;
    to.push(JSON.stringify(state.people));
    state.people = JSON.parse(from.pop());
    if (!person()) state.chosen = state.people[0]?.person ?? null;
    state.picked = null;
    state.pen = null;
    state.touched();
  };
  const undo = () => step(done, undone);
  const redo = () => step(undone, done);
  const give = (p, start, stop, label) => {
    let added = null;
    change(() => { added = paint(p, start, stop, label); });
    return added;
  };
  const resize = (p, stretch, start, stop) => {
    if (stop - start < SHORTEST) return;
    change(() => {
      p.stretches = p.stretches.filter((s) => s.start_s !== stretch.start_s);
      state.picked = paint(p, start, stop, stretch.label)?.start_s ?? null;
    });
  };

  // ---- what the model found, as hints and as a draft --------------------------------------------
  const foundPerson = Object.fromEntries(found.map((p) => [p.number, p]));
  const hints = (p, name) => p.parts.flatMap((part) => within(foundPerson[part.found]?.[name], part)).sort((x, y) => x[0] - y[0]);
  const seen = (p) => {
    const all = p.parts.flatMap((part) => without([[part.start_s, part.end_s]], foundPerson[part.found]?.unseen || []));
    return all.sort((x, y) => x[0] - y[0]);
  };
  const cues = found.some((p) => p.speaking !== null);
  const draft = () => change(() => {
    for (const p of state.people) {
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
      state.people = state.people.filter((p) => p !== gone);
      state.chosen = kept.person;
    });
    return say(`${title(gone)} is joined to ${title(kept)}.`);
  };
  const split = (p, time) => {
    const at = round(time);
    const before = p.parts.filter((x) => x.start_s < at).map((x) => ({ ...x, end_s: Math.min(x.end_s, at) }));
    const after = p.parts.filter((x) => x.end_s > at).map((x) => ({ ...x, start_s: Math.max(x.start_s, at) }));
    if (!before.length || !after.length) return say(`${title(p)} cannot be split here: go to the time at which it becomes somebody else.`);
    const number = Math.max(...state.people.map((x) => x.person), ...found.map((x) => x.number)) + 1;
    change(() => {
      const later = { person: number, name: "", parts: after, stretches: [] };
      for (const s of p.stretches) if (s.end_s > at) paint(later, Math.max(s.start_s, at), s.end_s, s.label, s.checked);
      paint(p, at, end, null);
      p.parts = before;
      state.people.splice(state.people.indexOf(p) + 1, 0, later);
    });
    return say(`From ${stamp(at)} on, ${title(p)} is Person ${number}.`);
  };

  const penUp = () => {
    if (!state.pen) return;
    const { label, from } = state.pen;
    state.pen = null;
    if (person()) give(person(), from, page.now(), label);
    page.render();
  };
  const canUndo = () => done.length > 0;
  const canRedo = () => undone.length > 0;
  return Object.assign(state, {
    found, foundPerson, fresh, person, title, pickedStretch, change, undo, redo, canUndo, canRedo,
    give, resize, hints, seen, draft, confirm, join, split, penUp,
  });
};
