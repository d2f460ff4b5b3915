// Commands that wait for people, kept over a reload of the page and no longer: in this tab's session storage. Nothing
// that is kept can be carried out twice, and nothing of it is secret.
const KEPT = "tallybox-pending";
// A server's address can hold the stream's key.
const SECRET = ["set-ingest"];
const TEXTS = ["id", "box", "verb", "progress", "epoch", "payload"];
const MOST_KEPT = 20;

export function keep(prefix, list) {
  const waiting = list.filter(({ status }) => status === "progress").slice(0, MOST_KEPT).map(({ id, box, verb, at, progress, epoch, payload, signer }) => (
    { id, box, verb, at, progress, epoch, payload: SECRET.includes(verb) ? null : payload, signer: signer && { name: signer.name } }));
  try {
    if (waiting.length === 0) sessionStorage.removeItem(KEPT);
    else sessionStorage.setItem(KEPT, JSON.stringify({ prefix, waiting }));
  } catch { /* a browser that keeps nothing: after a reload the ledger's events tell what became of it */ }
}

export function kept(prefix) {
  try {
    const held = JSON.parse(sessionStorage.getItem(KEPT));
    if (held?.prefix !== prefix) return [];
    return held.waiting.filter((each) => TEXTS.every((name) => each[name] === null || typeof each[name] === "string")).map((each) => (
      { ...each, values: {}, status: "progress", error: null, code: null, again: false, begun: true, receipt: null }));
  } catch {
    return [];
  }
}
