// What each kind of ledger entry says. A kind that is not here is shown with its fields.
const part = { __proto__: null, lamp: "The lamp", button: "The button", ledger: "The consent ledger", power: "The supply voltage" };
const purpose = { __proto__: null, "on-air": "to go on air", probe: "for a trial of camera and microphone" };
const by = { __proto__: null, staff: "Staff", remote: "The platform" };

export default (f) => ({
  unknown: (kind, fields) => (fields ? `${kind} (${fields})` : kind),
  "guard-started": (e) => `The guard started (${e.software}, policy ${e["policy-version"]}).`,
  identified: (e) => `The box has a new key, with fingerprint ${e.fingerprint.slice(0, 16)}….`,
  configured: (e) => `A new configuration is in force: streams go to ${e["ingest-host"]}, messages to ${e["broker-host"] ?? "no broker"}.`,
  "guard-stopped": () => "The guard ended on request.",
  "session-started": (e) => `Staff pressed: session ${e.session} starts, ${e.sound ? "with picture and sound" : "with picture only"}.`,
  "on-air": (e) => `Session ${e.session} is on air.`,
  "off-air": (e) => `Session ${e.session} lost its server: ${e.reason}`,
  "encoder-fallback": (e) => `In session ${e.session} the encoder ${e.to} replaced ${e.from}: ${e.why}`,
  "session-stopped": (e, reason) => `Session ${e.session} ended. ${reason(e.reason)}${e.message ? ` ${e.message}` : ""}`,
  "session-cut": (e) => `Session ${e.session} was cut off: the guard had died, or power had failed.`,
  muted: (e) => `${by[e.by] ?? e.by} ${e.muted ? "muted" : "unmuted"} session ${e.session}.`,
  requested: (e) => `Staff were asked ${purpose[e.purpose] ?? e.purpose}.`,
  "request-ended": (e, reason) => `A request ended without a press. ${reason(e.reason)}`,
  locked: () => "Staff locked the box.",
  unlocked: () => "Staff unlocked the box.",
  "policy-pending": (e) => `Policy ${e["policy-version"]} waits for staff.`,
  "policy-acknowledged": (e) => `Staff acknowledged policy ${e["policy-version"]}.`,
  broke: (e) => `${part[e.part] ?? e.part} has a fault.`,
  mended: (e) => `${part[e.part] ?? e.part} works again.`,
  "footage-destroyed": (e) => `Unsent footage was destroyed (${f.number(e.files)} ${f.plural(e.files, { one: "file", other: "files" })}).`,
  unbound: (e) => `The box was unbound: keys, credentials and footage are destroyed (${f.number(e.files)} ${f.plural(e.files, { one: "file", other: "files" })}).`,
  "command-refused": (e) => `The command ${e.verb} was refused: ${e.why}`,
  "commands-refused": (e) => `${f.number(e.count)} more commands were refused.`,
  commanded: (e) => `The command ${e.verb} of ${e.key || "an unsigned sender"} was accepted.`,
  "door-refused": (e) => `User ${e.uid} was refused at the guard's socket: ${e.why}`,
  "clock-stepped": (e) => `The clock was stepped from ${f.date(Date.parse(e.from))} to ${f.date(Date.parse(e.to))}.`,
  pruned: (e) => `Entries ${e.first} to ${e.last} were removed after their time.`,
  "entries-lost": (e) => `${f.number(e.count)} entries are missing here: the disk had failed.`,
  "entries-left-out": (e) => `${f.number(e.count)} more entries of the kind ${e.of} were counted and not written.`,
  probed: (e) => `Staff pressed for a trial of ${e.sound ? "camera and microphone" : "the camera"} (session ${e.session}); nothing leaves the box.`,
});
