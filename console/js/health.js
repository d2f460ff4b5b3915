// How a box is: whether it is there, what its lamp shows, and what somebody should look at. The limits are those of the
// alert rules in docs/operations.md, but for their durations: a wall shows what is now.
const DAY = 86_400_000;
// Telemetry every 30 s is usual. A box from which nothing came for five intervals is silent.
const INTERVAL = 30_000, MISSED = 5;
export const CAPTURING = ["connecting", "live", "reconnecting", "stopping"];
export const LEVELS = ["attention", "watch", "gone", "good"];

// `link`: the page's own connection: whether it is up, its generation, and since when.
export function presence(box, now, link) {
  if (!link.up || box.generation !== link.generation) return "unknown";
  if (box.availability !== "online") return box.availability;
  const silent = now - Math.max(box.heardAt, link.since) > MISSED * Math.max(box.interval ?? INTERVAL, INTERVAL / 3);
  return silent ? "stale" : "online";
}

export function lamp(state, present) {
  if (present !== "online" || state === null) return "unknown";
  switch (state.phase) {
    case "idle": return "dark";
    case "requested": return state.reason === "unbind" ? "unbind-request" : "slow-pulse";
    case "connecting": case "stopping": return "fast-blink";
    case "live": return state.muted ? "solid-notched" : "solid";
    case "reconnecting": return "double-blink";
    case "policy": return "triple-blink";
    case "locked": return "lock-flash";
    // Without a guard nobody drives the lamp.
    case "fault": return state.reason === "guard-unreachable" ? "unknown" : "sos";
    default: return "unknown";
  }
}

export function camera(state, present) {
  if (present !== "online" || state === null) return "unknown";
  if (state.phase === "fault" && state.reason === "guard-unreachable") return "unknown";
  return { connecting: "doubt", live: "on", reconnecting: "still", stopping: "closing", unknown: "unknown" }[state.phase] ?? "off";
}

function stateReasons(state, now, bad, watch) {
  if (state.phase === "fault") bad.push([state.reason === "guard-unreachable" ? "guard" : "fault"]);
  if (state.phase === "reconnecting") bad.push(["reconnecting"]);
  if (state.phase === "connecting" && state.since !== null && now - state.since > 60_000) bad.push(["connecting"]);
  if (state.phase === "policy") watch.push(["policy"]);
  if (state.incidents.length) watch.push(["incident"]);
  if (CAPTURING.includes(state.phase)) {
    if (state.reason === "camera-lost" || state.reason === "microphone-lost") bad.push(["device"]);
    if (state.reason === "encoder-fallback") watch.push(["encoder"]);
  }
}

function figureReasons(box, now, bad, watch) {
  const figures = box.telemetry, live = box.state !== null && box.state.phase === "live";
  if (figures.temperature !== null && figures.temperature > 80) bad.push(["hot", figures.temperature]);
  if (figures.disk !== null && figures.disk < 200) bad.push(["disk", figures.disk]);
  if (figures.throttled !== null && !/^(0x)?0$/.test(figures.throttled)) watch.push(["throttled"]);
  if (figures.certificate !== null && figures.certificate - now < 30 * DAY) watch.push(["certificate", figures.certificate]);
  if (!live) return;
  if (figures.reduced) watch.push(["reduced"]);
  if (box.dropShare !== null && box.dropShare > 0.01) watch.push(["drops", box.dropShare]);
  if (figures.level !== null && figures.level < -60 && box.state.muted === false) watch.push(["silent"]);
}

// `{ presence, lamp, camera, level, reasons }`, where reasons are words of `text.health.said` with their figure.
export function assess(box, now, link) {
  const present = presence(box, now, link), bad = [], watch = [];
  const base = { presence: present, lamp: lamp(box.state, present), camera: camera(box.state, present) };
  if (present !== "online") {
    const known = ["offline", "stopped", "stale"].includes(present);
    return { ...base, level: "gone", reasons: known ? [[present]] : [] };
  }
  if (box.state === null) watch.push(["unheard"]);
  else stateReasons(box.state, now, bad, watch);
  if (box.telemetry !== null) figureReasons(box, now, bad, watch);
  return { ...base, level: bad.length ? "attention" : watch.length ? "watch" : "good", reasons: [...bad, ...watch] };
}
