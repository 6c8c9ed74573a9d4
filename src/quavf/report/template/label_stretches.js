// Labelled stretches of one person: drawing one over others, and the time that some leave.
const LABELS = { to_me: "To you", to_others: "To others", silent: "Silent" };
const stretchTools = (end, clamp) => {
  const SHORTEST = 0.04; // s: of a stretch
  const round = (time) => Math.round(clamp(time, 0, end) * 1000) / 1000;
  const stretchAt = (p, time) => p?.stretches.find((s) => time >= s.start_s && time < s.end_s);

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
  const within = (stretches, part) =>
    (stretches || []).map(([a, b]) => [Math.max(a, part.start_s), Math.min(b, part.end_s)]).filter(([a, b]) => b > a);
  const without = (stretches, others) =>
    others.reduce((left, [c, d]) => left.flatMap(([a, b]) => [[a, Math.min(b, c)], [Math.max(a, d), b]].filter(([x, y]) => y - x > 1e-6)), stretches);
  return { SHORTEST, round, stretchAt, paint, within, without };
};
