// What stands before the wall for a moment: the key, the help.
import { html, nothing } from "./html.js";
import { text } from "./language.js";
import { canSign, forget, fromText, generate, keep } from "./keys.js";
import { isName } from "./note.js";

export function frame(app, title, body, kind) {
  return html`<dialog class=${kind} aria-labelledby="dialog-title" @close=${() => app.show(null)}>
    <div class="bar"><h2 id="dialog-title">${title}</h2>
      <button class="plain close" aria-label=${text.close} @click=${(event) => event.target.closest("dialog").close()}>✕</button></div>
    ${body}</dialog>`;
}

async function take(app, made, fields) {
  const { dialog } = app;
  if (made === null) { dialog.error = dialog.bad; app.render(); return; }
  if (fields.has("keep") && !(await keep(made))) dialog.notice = text.key.storage;
  app.key = made;
  dialog.error = null;
  app.render();
}

async function makeKey(event, app) {
  event.preventDefault();
  const fields = new FormData(event.target), name = String(fields.get("name")).trim();
  app.dialog.bad = text.key.badName;
  await take(app, isName(name) ? await generate(name) : null, fields);
}

async function importKey(event, app) {
  event.preventDefault();
  const form = event.target, fields = new FormData(form);
  app.dialog.bad = text.key.badPrivate;
  let made = null;
  try { made = await fromText(String(fields.get("signer"))); } catch { /* no key: told as such */ }
  form.elements.signer.value = "";
  await take(app, made, fields);
}

const keepBox = () => html`<label class="check"><input type="checkbox" name="keep">${text.key.keep}</label>`;

function ownKey(app) {
  const { key: words } = text, { key } = app;
  const snippet = `[[trust]]\nkey = ${JSON.stringify(key.verifier)}\nmay = ["request-start", "unmute", "identify", "diagnose", "set-video"]`;
  const copy = async () => {
    try { await navigator.clipboard.writeText(key.verifier); app.dialog.notice = words.copied; } catch { app.dialog.notice = null; }
    app.render();
  };
  const destroy = async () => {
    if (!app.dialog.sure) { app.dialog.sure = true; app.render(); return; }
    await forget();
    app.key = null;
    app.dialog.sure = false;
    app.render();
  };
  return html`<p><b>${key.name}</b> <span class="quiet">${key.kept ? words.kept : words.notKept}</span></p>
    <p>${words.verifier}</p><pre id="verifier">${key.verifier}</pre>
    <p class="quiet">${words.snippet}</p><pre>${snippet}</pre><p class="quiet">${words.snippetMore}</p>
    <p class="notice" role="status">${app.dialog.notice ?? ""}</p>
    <div class="bar end"><button class="plain" @click=${destroy}>${app.dialog.sure ? words.forgetSure : words.forget}</button>
      <button class="primary" @click=${copy}>${words.copy}</button></div>
    ${app.dialog.sure ? html`<p class="hint">${words.forgetHint}</p>` : nothing}`;
}

export function keyView(app) {
  const { key: words } = text, { dialog } = app;
  if (dialog.able === undefined) { dialog.able = null; canSign().then((able) => { dialog.able = able; app.render(); }); }
  const ways = html`
    <form class="card" @submit=${(event) => makeKey(event, app)}>
      <label>${words.name}<input name="name" required maxlength="100" spellcheck="false" autocomplete="off" aria-describedby="name-hint"></label>
      <p class="quiet" id="name-hint">${words.nameHint}</p>${keepBox()}
      <button class="primary">${words.make}</button></form>
    <form class="card" @submit=${(event) => importKey(event, app)}>
      <label>${words.pasted}<input name="signer" type="password" required maxlength="400" spellcheck="false" autocomplete="off" aria-describedby="import-hint"></label>
      <p class="quiet" id="import-hint">${words.importHint}</p>${keepBox()}
      <button class="plain">${words.use}</button></form>`;
  return frame(app, words.title, html`<p>${words.intro}</p>
    ${app.key ? ownKey(app) : dialog.able === false ? html`<p class="problem">${words.noCrypto}</p>` : ways}
    <p class="problem" role="alert">${dialog.error ?? ""}</p>`, "keys");
}

export function helpView(app) {
  const { help } = text;
  return frame(app, help.title, html`
    <label class="check"><input type="checkbox" ?checked=${app.shortcuts} @change=${(event) => { app.shortcuts = event.target.checked; }}>${help.shortcuts}</label>
    <p class="quiet">${help.shortcutsHint}</p>
    <table class="help"><tbody>${help.keys.map(([key, says]) => html`<tr><th scope="row"><kbd>${key}</kbd></th><td>${says}</td></tr>`)}</tbody></table>
    <h3>${help.lamps}</h3>
    <table class="help"><tbody>${help.lampRows.map(([pattern, says]) => html`<tr><td><span class="lamp lamp-${pattern}" aria-hidden="true"></span></td>
      <th scope="row">${text.lamp[pattern]}</th><td>${says}</td></tr>`)}</tbody></table>
    <h3>${help.words}</h3><p>${help.wordsHint}</p>`, "help");
}
