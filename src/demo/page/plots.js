"use strict";
// How the stream does, a point a second over the last two minutes, from what the guard says. Also told as text.
const plots = (() => {
  const KEPT = 120, STALE = 2, WIDTH = 240, HEIGHT = 48;
  const figures = [
    { id: "bitrate", name: "Video and sound sent", unit: "kbit/s", of: (s) => s["bitrate-kbps"], least: 100, target: (s) => s["target-kbps"] || null },
    { id: "frames", name: "Pictures sent", unit: "per second", of: (s) => s.fps, least: 10, digits: 1 },
    { id: "queue", name: "Waiting to be sent", unit: "ms", of: (s) => s["queue-ms"], least: 100 },
    { id: "round-trip", name: "Way to the server and back", unit: "ms", of: (s) => s["round-trip-ms"], least: 20 },
    { id: "level", name: "Loudness of the sound", unit: "dB", of: (s) => s["level-db"], low: -60, high: 0, digits: 1 },
  ];
  const points = [];
  let news = null, last = null, silent = STALE;

  const make = (tag, attributes, parent) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent.append(node);
    return node;
  };
  for (const figure of figures) {
    const box = document.getElementById(`plot-${figure.id}`);
    figure.now = box.querySelector("b");
    figure.axis = box.querySelector("p");
    figure.box = box;
    const svg = box.querySelector("svg");
    svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    for (const part of [0, 0.5, 1]) make("path", { class: "rule", d: `M0 ${part * HEIGHT}H${WIDTH}` }, svg);
    figure.svg = svg;
    figure.area = make("path", { class: "area" }, svg);
    figure.line = make("path", { class: "line" }, svg);
    if (figure.target) figure.aim = make("path", { class: "aim" }, svg);
  }

  // One path for each stretch without a gap: what is not known is not drawn.
  function stretches(values) {
    const found = [];
    let at = null;
    values.forEach((value, index) => {
      if (value === null || value === undefined) { at = null; return; }
      if (!at) found.push(at = []);
      at.push([WIDTH - (values.length - 1 - index) * WIDTH / (KEPT - 1), value]);
    });
    return found;
  }
  const round = (value) => Math.round(value * 10) / 10;
  function draw(figure) {
    const values = points.map((stats) => stats && figure.of(stats)), known = values.filter((value) => value !== null && value !== undefined);
    const aims = figure.target ? points.map((stats) => stats && figure.target(stats)) : [];
    const low = figure.low ?? 0, high = figure.high ?? Math.max(figure.least, ...known, ...aims) * 1.1;
    const y = (value) => round(HEIGHT - (Math.min(Math.max(value, low), high) - low) / (high - low) * HEIGHT);
    const path = (list) => stretches(list).map((s) => `M${s.map(([x, value]) => `${round(x)} ${y(value)}`).join("L")}${s.length > 1 ? "" : "h1"}`).join("");
    figure.line.setAttribute("d", path(values));
    figure.area.setAttribute("d", stretches(values).filter((s) => s.length > 1).map((s) => `M${round(s[0][0])} ${HEIGHT}L${s.map(([x, value]) => `${round(x)} ${y(value)}`).join("L")}V${HEIGHT}Z`).join(""));
    if (figure.aim) figure.aim.setAttribute("d", path(aims));
    const text = (value) => `${value.toFixed(figure.digits && Math.abs(value) < 100 ? figure.digits : 0)} ${figure.unit}`;
    const current = values.at(-1) ?? null, aim = aims.at(-1);
    figure.now.textContent = current === null ? "–" : text(current);
    // An axis of nothing would say nothing.
    figure.box.classList.toggle("empty", !known.length);
    const range = `from ${low} to ${text(Math.round(high))}`;
    figure.axis.textContent = known.length ? range + (aims.some(Boolean) ? `; dashed: the aim${aim ? `, ${text(aim)} of video` : ""}` : "") : points.some(Boolean) ? "not known for this stream" : "no figures yet";
    const span = known.length ? `between ${text(Math.min(...known))} and ${text(Math.max(...known))} over the last ${points.length} s` : "nothing in the last two minutes";
    figure.svg.setAttribute("aria-label", `${figure.name}: ${current === null ? "not known now" : `${text(current)} now`}; ${figure.target && aim ? `target ${text(aim)}; ` : ""}${span}`);
  }
  setInterval(() => {
    if (news) silent = 0; else silent++;
    // A report may be a little late; an old one is not drawn for ever.
    points.push(news || (last && silent < STALE ? points.at(-1) ?? null : null));
    news = null;
    if (points.length > KEPT) points.shift();
    figures.forEach(draw);
  }, 1000);
  figures.forEach(draw);
  return {
    points,
    hear(stats) {
      // The same figures again are an old report in a new status.
      if (stats && JSON.stringify(stats) !== JSON.stringify(last)) news = stats;
      if (!stats) news = null;
      last = stats;
    },
  };
})();
