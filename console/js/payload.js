// What boxes send, read with distrust: a value of the wrong type or size is null, and every text is only ever text.
const LONGEST = 16384;
const utf8 = new TextDecoder("utf-8", { fatal: true });
export const PHASES = ["idle", "requested", "connecting", "live", "reconnecting", "stopping", "locked", "policy", "fault"];
export const ID = /^[a-z0-9-]{1,64}$/;

// Control characters, and those that turn or hide the text around them (bidirectional marks, zero width, tags).
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb]|[\u{e0000}-\u{e0fff}]/gu;

// A text that can be shown: bounded, and without what would disturb its surroundings.
export function clean(value, most = 300) {
  if (typeof value !== "string") return null;
  const short = value.length > most ? `${value.slice(0, most)}…` : value;
  return short.toWellFormed().replace(UNSEEN, "\ufffd");
}
const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
const whole = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : null);
const flag = (value) => (typeof value === "boolean" ? value : null);
const time = (value) => (typeof value === "string" && value.length < 40 && !Number.isNaN(Date.parse(value)) ? Date.parse(value) : null);
const record = (value) => (value !== null && typeof value === "object" && !Array.isArray(value) ? value : null);

// The text of a payload, or null.
export function string(bytes) {
  if (bytes.length > LONGEST) return null;
  try { return utf8.decode(bytes); } catch { return null; }
}

// The object in a payload, or null.
export function object(bytes) {
  try { return record(JSON.parse(string(bytes) ?? "")); } catch { return null; }
}

// A list of words from a table; one that the table does not have is shown as it is.
const words = (value) => (Array.isArray(value) ? value.slice(0, 8).map((each) => clean(each, 40)).filter(Boolean) : []);

export function state(said) {
  const phase = PHASES.includes(said.phase) ? said.phase : clean(said.phase, 40) === null ? null : "unknown";
  if (phase === null) return null;
  return {
    phase, session: whole(said.session), since: time(said.since), reason: clean(said.reason), muted: flag(said.muted),
    policy: clean(said["policy-version"], 40), software: clean(said.software, 80), epoch: clean(said.epoch, 64),
    uptime: whole(said["uptime-s"]), signed: flag(said["signed-commands"]), warnings: list(said.warnings),
    incidents: words(said.incidents),
  };
}

// The figures of which a history is kept, by the name here: the field in telemetry.
export const FIGURES = {
  bitrate: "bitrate-kbps", target: "target-kbps", fps: "fps", temperature: "temperature-c", rtt: "round-trip-ms",
  drops: "dropped-frames",
};

export function telemetry(said) {
  const figures = {};
  for (const [name, field] of Object.entries(FIGURES)) figures[name] = number(said[field]);
  return {
    ...figures, height: whole(said.height), reduced: flag(said.reduced), queue: number(said["queue-ms"]),
    reconnects: whole(said.reconnects), level: number(said["level-db"]), uptime: whole(said["uptime-s"]),
    throttled: clean(said.throttled, 40), memory: number(said["memory-available-mib"]), disk: number(said["disk-free-mib"]),
    certificate: time(said["certificate-expires"]), link: clean(said["link-kind"], 20), metered: flag(said["link-metered"]), secondOnAir: flag(said["second-on-air"]),
    secondBitrate: number(said["second-bitrate-kbps"]), guardUptime: whole(said["guard-uptime-s"]),
  };
}

// A signed note of the box's own, as it came: it is verified and saved byte by byte. Null if it is none.
const MOST_NOTE = 4096;
export function receipt(value) {
  if (typeof value !== "string" || value.length > MOST_NOTE || !value.isWellFormed()) return null;
  return note(value, "tallybox/receipt/v1") && value.replace(UNSEEN, (seen) => (seen === "\n" ? seen : "")) === value ? value : null;
}

// What a receipt tells, to be shown.
export function receiptSays(text) {
  const said = note(text, "tallybox/receipt/v1") ?? {};
  const kept = Array.isArray(said.kept) ? said.kept.slice(0, 8).map(record).filter(Boolean) : [];
  return {
    box: clean(said.box, 80), what: clean(said.what, 40), at: time(said.at), files: whole(said.files),
    kept: kept.map(({ what, until }) => ({ what: clean(what, 80), until: clean(until, 40) })),
  };
}

const list = (value) => (Array.isArray(value) ? value.slice(0, 24).map((each) => clean(each, 100)).filter((each) => each !== null).join(", ") : null);

// The plain fields of a record from outside, and its lists of words; what else is nested in it is left out.
export function fields(value, most = 24) {
  const plain = {};
  for (const [key, each] of Object.entries(record(value) ?? {}).slice(0, most)) {
    const held = typeof each === "string" ? clean(each) : each === null ? null : number(each) ?? flag(each) ?? list(each);
    if (held !== null || each === null) Object.defineProperty(plain, clean(key, 60), { value: held, enumerable: true });
  }
  return plain;
}

export function event(said) {
  const id = clean(said.id, 120), fact = fields(said.fact);
  if (id === null || typeof fact.kind !== "string") return null;
  return {
    id, seq: whole(said.seq), at: time(said.at), synchronised: flag(said.synchronised), fact, hash: clean(said.hash, 64),
    receipt: receipt(said.fact.receipt),
  };
}

export function reply(said) {
  const status = record(said.state);
  return {
    id: clean(said.id, 64), verb: clean(said.verb, 40), ok: said.ok === true, error: clean(said.error, 600),
    code: clean(said.code, 40), progress: clean(said.progress, 80), epoch: clean(said.epoch, 64), uptime: whole(said["uptime-s"]),
    state: status && state(status), receipt: receipt(said.receipt), diagnosis: record(said.diagnosis) && diagnosis(said.diagnosis),
  };
}

function diagnosis(said) {
  const faults = Array.isArray(said.faults) ? said.faults.slice(0, 8).map((each) => clean(each, 40)).filter(Boolean) : [];
  return { ...fields(said), ...(faults.length ? { faults: faults.join(", ") } : {}) };
}

const value = (held) => (held === undefined || held === null ? null : clean(typeof held === "string" ? held : JSON.stringify(held), 200));

export function reported(said) {
  const keys = new Map();
  for (const [key, each] of Object.entries(record(said.keys) ?? {}).slice(0, 200)) {
    const one = record(each);
    if (one) keys.set(clean(key, 80), { value: value(one.value), code: clean(one.code, 40), text: clean(one.text) });
  }
  return { version: whole(said["for-version"]), error: clean(said.error, 600), keys };
}

// The JSON on a note's second line: shown, never trusted. Who acts on a note verifies it; this page does not.
export function note(text, type) {
  const [first, second] = text.split("\n", 2);
  if (first !== type || second === undefined) return null;
  try { return record(JSON.parse(second)); } catch { return null; }
}

export function desired(said) {
  const keys = new Map();
  for (const [key, each] of Object.entries(record(said.values) ?? {}).slice(0, 200)) keys.set(clean(key, 80), value(each));
  return { version: whole(said.version), keys };
}

// What a policy says, to be shown before it is sent; the box verifies it.
export function policy(text) {
  const said = note(text, "tallybox/policy/v1");
  return said && { version: clean(said.version, 40), material: flag(said.material) };
}

export function release(said) {
  return { version: clean(said.version, 40), channel: clean(said.channel, 40), security: said.security === true };
}

// A checkpoint: origin, size, root, on three lines.
export function checkpoint(text) {
  const [origin, size] = text.split("\n", 3);
  return /^\d{1,15}$/.test(size ?? "") ? { origin: clean(origin, 120), size: Number(size) } : null;
}
