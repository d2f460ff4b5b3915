// What is known of a box, in words.
import { format, text } from "./language.js";

// The name of the phase that the box said last.
export function phaseSaid(box) {
  const { state } = box;
  if (state === null) return text.phase.unheard;
  if (state.phase === "live" && state.muted) return text.silent;
  if (state.phase === "locked" && state.reason === "unbind") return text.unbound;
  if (state.phase === "requested" && state.reason === "unbind") return text.unbindAsked;
  return text.phase[state.phase];
}

// What can be claimed now: a box that is not there has no phase.
export const phaseWord = (box) => (box.health.presence === "online" ? phaseSaid(box) : text.presence[box.health.presence]);

export const reason = (word) => (Object.hasOwn(text.reason, word ?? "") ? text.reason[word] : word ?? "");

export function why(box) {
  return box.state?.reason ? reason(box.state.reason) : null;
}

// What an incident is and what to do about it; a word of another version as it is.
export const incidentSays = (word) => (Object.hasOwn(text.incident, word) ? text.incident[word].join(text.gap) : word);

// A reason of `health`, as words.
export function healthWord([word, value]) {
  const said = text.health.said[word];
  return typeof said === "function" ? said(value) : said;
}

export function presenceSays(box, now) {
  switch (box.health.presence) {
    case "offline": return text.presence.offlineSays;
    case "stopped": return text.presence.stoppedSays;
    case "stale": return text.presence.staleSays(box.heardAt ? ago(box.heardAt, now) : text.unknown);
    case "unknown": return text.presence.unknownSays;
    default: return "";
  }
}

export const lasting = (at, now) => format.duration(Math.max(0, (now - at) / 1000));
export const ago = (at, now) => format.ago(Math.max(0, (now - at) / 1000));

// A ledger entry as a sentence. What an unknown version or a hostile box sends is shown with its fields.
export function sentence(fact) {
  const { kind, ...fields } = fact;
  if (Object.hasOwn(text.fact, kind) && kind !== "unknown") {
    try {
      const said = text.fact[kind](fact, reason);
      if (!said.includes("undefined")) return said;
    } catch { /* a field is missing: told with the fields that are there */ }
  }
  const told = Object.entries(fields).filter(([, value]) => value !== null).map(([key, value]) => `${key}: ${value}`);
  return text.fact.unknown(kind, told.join(", "));
}

// What a screen reader says of a box on the wall.
export function label(box) {
  const said = box.health.reasons.filter(([word]) => word !== box.health.presence).map(healthWord);
  return [box.id, phaseWord(box), text.lamp.name(text.lamp[box.health.lamp]), ...said].join(", ");
}
