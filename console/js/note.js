// Signed notes as C2SP's signed-note has them, Ed25519 only: a text, an empty line, a line for each signature.
// docs/notes.md describes them.
const encoder = new TextEncoder();
const ED25519 = 1;

export const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
export function unbase64(text) {
  try { return Uint8Array.from(atob(text), (character) => character.charCodeAt(0)); } catch { return null; }
}
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const join = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));

const LONGEST_NAME = 128;

export const isName = (name) => name.length > 0 && encoder.encode(name).length <= LONGEST_NAME && !/[\s+\p{C}]/u.test(name);

// The first four bytes of SHA-256 over name, line feed, type and public key.
export async function keyId(name, publicKey) {
  const digest = await crypto.subtle.digest("SHA-256", join(encoder.encode(`${name}\n`), [ED25519], publicKey));
  return new Uint8Array(digest, 0, 4);
}

export async function verifierKey(name, publicKey) {
  return `${name}+${hex(await keyId(name, publicKey))}+${base64(join([ED25519], publicKey))}`;
}

// `{ name, seed }` of a signer key's text; null if it is none. Its hash is judged once the public key is known.
export function parseSigner(text) {
  const match = /^PRIVATE\+KEY\+([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text.trim());
  const bytes = match && unbase64(match[3]);
  if (!bytes || bytes.length !== 33 || bytes[0] !== ED25519 || !isName(match[1])) return null;
  return { name: match[1], hash: match[2], seed: bytes.slice(1) };
}

// A verifier key's `{ name, hash, publicKey }`, or null.
async function parseVerifier(text) {
  const match = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text.trim());
  const bytes = match && unbase64(match[3]);
  if (!bytes || bytes.length !== 33 || bytes[0] !== ED25519 || !isName(match[1])) return null;
  const publicKey = bytes.slice(1);
  return hex(await keyId(match[1], publicKey)) === match[2] ? { name: match[1], hash: match[2], publicKey } : null;
}

// Whether a key signed a note: "good", "wrong" (its signature does not fit the text), "other" (it is not among those
// that signed) or "noKey" (the key is none).
export async function verify(note, verifier) {
  const key = await parseVerifier(verifier);
  if (key === null) return "noKey";
  const cut = note.lastIndexOf("\n\n"), text = encoder.encode(note.slice(0, cut + 1));
  const lines = note.slice(cut + 2).split("\n").map((line) => /^\u2014 (\S+) ([A-Za-z0-9+/]+=*)$/.exec(line)).filter(Boolean);
  const signatures = lines.map(([, name, signature]) => ({ name, bytes: unbase64(signature) }))
    .filter(({ name, bytes }) => name === key.name && bytes?.length === 68 && hex(bytes.slice(0, 4)) === key.hash);
  if (cut < 0 || signatures.length === 0) return "other";
  const imported = await crypto.subtle.importKey("raw", key.publicKey, "Ed25519", false, ["verify"]);
  for (const { bytes } of signatures) {
    if (!(await crypto.subtle.verify("Ed25519", imported, bytes.slice(4), text))) return "wrong";
  }
  return "good";
}

// The note: `lines` and one signature. `sign` gives the 64 bytes for the text's bytes.
export async function signed(type, value, { name, publicKey, sign }) {
  const text = `${type}\n${JSON.stringify(value)}\n`;
  const signature = new Uint8Array(await sign(encoder.encode(text)));
  return `${text}\n— ${name} ${base64(join(await keyId(name, publicKey), signature))}\n`;
}
export { hex };
