// The verbs, as the page offers them. docs/schemas has what each takes; a test holds this table against it.

// `signed`: "never", "trust" (where the box trusts a key) or "always". `asks`: what it changes is asked about first.
// `ends`: it destroys something, so the box's name is to be written.
const row = (signed, group, more) => ({ signed, group, asks: false, ends: false, ...more });
export const VERBS = {
  stop: row("never", "now"),
  "request-start": row("trust", "now", { asks: true }),
  mute: row("never", "now"),
  unmute: row("trust", "now", { asks: true }),
  identify: row("trust", "now"),
  diagnose: row("trust", "now"),
  "set-video": row("trust", "change", { asks: true }),
  "set-ingest": row("always", "change", { asks: true }),
  "set-policy": row("always", "change", { asks: true }),
  update: row("always", "change", { asks: true }),
  erase: row("always", "end", { asks: true, ends: true }),
  unbind: row("always", "end", { asks: true, ends: true }),
};
export const GROUPS = ["now", "change", "end"];

// Lowest and highest, as `[video]` has them.
export const VIDEO = { "bitrate-kbps": [100, 20_000], width: [16, 3840], height: [16, 2160], fps: [1, 60] };

// Why an erasure is asked for; the receipt repeats it.
export const REASONS = ["unlawful", "beyond-purpose-or-time", "consent-withdrawn", "account-closed"];

// Longest signed note that a box reads, in bytes.
export const MOST_BYTES = 8192;

// Whether a command to this box is signed. A box that says that it knows no key would refuse the signature; one of a
// version that says nothing takes it where there is a key.
export function signs(verb, box, key) {
  const { signed } = VERBS[verb];
  if (key === null || signed === "never") return false;
  return signed === "always" || box?.state?.signed !== false;
}

// Why a command cannot work for want of a key: a name of `text.command`, or null. The rest the box judges itself.
export function lacks(verb, box, key) {
  const { signed } = VERBS[verb], wants = box?.state?.signed ?? null;
  if (signed === "never") return null;
  if (signed === "always" && wants === false) return "noTrust";
  return key === null && (signed === "always" || wants === true) ? "noKey" : null;
}
