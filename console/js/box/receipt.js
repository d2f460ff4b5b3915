// The receipt of an erasure or unbinding: what the box says it destroyed, to be saved and verified.
import { html, nothing } from "../html.js";
import { format, text } from "../language.js";
import { base64, verify } from "../note.js";
import { receiptSays } from "../payload.js";

// How the last verification ended, by the receipt's text.
const verified = new Map();

async function check(event, app, receipt) {
  event.preventDefault();
  const key = String(new FormData(event.target).get("verifier"));
  let result = "cannot";
  try { result = await verify(receipt, key); } catch { /* this browser has no Ed25519 */ }
  verified.clear();
  verified.set(receipt, result);
  app.render();
}

const address = (receipt) => `data:text/plain;base64,${base64(new TextEncoder().encode(receipt))}`;

export function receiptView(app, receipt) {
  const { receipt: words } = text, said = receiptSays(receipt), result = verified.get(receipt) ?? null;
  const name = `${said.box ?? "box"}-${said.what ?? "receipt"}.note`.replace(/[^\w.-]/g, "_");
  const rows = [
    [words.box, said.box], [words.what, Object.hasOwn(text.verb, said.what ?? "") ? text.verb[said.what] : said.what],
    [words.at, said.at === null ? null : format.date(said.at)], [words.files, said.files === null ? null : format.number(said.files)],
    [words.kept, said.kept.length ? said.kept.map(({ what, until }) => words.until(words.things[what] ?? what, words.ends[until] ?? until)).join("; ") : words.keptNothing],
  ];
  return html`<div class="receipt">
    <dl>${rows.map(([title, value]) => html`<div><dt>${title}</dt><dd>${value ?? text.unknown}</dd></div>`)}</dl>
    <details><summary>${words.text}</summary><pre tabindex="0">${receipt}</pre></details>
    <p><a class="plain button" download=${name} href=${address(receipt)}>${words.save}</a></p>
    <form @submit=${(event) => check(event, app, receipt)}>
      <label>${words.verifier}<input name="verifier" required maxlength="400" spellcheck="false" autocomplete="off" aria-describedby="verifier-hint"></label>
      <p class="quiet" id="verifier-hint">${words.verifierHint}</p>
      <button class="plain">${words.verify}</button>
      <p class=${result === "good" ? "good" : "problem"} role="status" data-result=${result ?? nothing}>${result === null ? "" : words.results[result]}</p>
    </form></div>`;
}
