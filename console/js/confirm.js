// The question before a command: what it does, its parameters, exactly what will be sent, and for what cannot be undone
// the name of the box.
import { frame } from "./dialogs.js";
import { html, nothing } from "./html.js";
import { format, text } from "./language.js";
import * as read from "./payload.js";
import { REASONS, VERBS, VIDEO } from "./verbs.js";
import { phaseWord } from "./words.js";

const SCHEMES = ["rtmp:", "rtmps:", "srt:", "https:"];
// What belongs to a server besides its address; each is a secret.
const SECRETS = { "stream-key": "streamKey", passphrase: "passphrase", streamid: "streamid", token: "token" };
// A policy travels within the command's note.
const MOST_POLICY = 6000;
const WORDS = { "bitrate-kbps": "bitrate", width: "width", height: "height", fps: "fps" };

// Each reads its form: `{ values }`, or `{ error, at }` with the name of the field.
function videoValues(fields) {
  const values = {}, { confirm } = text;
  for (const [name, [low, high]] of Object.entries(VIDEO)) {
    const written = String(fields.get(name)).trim(), number = Number(written);
    if (written === "") continue;
    if (!/^\d{1,6}$/.test(written) || number < low || number > high) return { error: confirm.between(low, high), at: name };
    if (["width", "height"].includes(name) && number % 2 === 1) return { error: confirm.even, at: name };
    values[name] = number;
  }
  if (Object.keys(values).length === 0) return { error: confirm.nothing, at: "bitrate-kbps" };
  if (("width" in values) !== ("height" in values)) return { error: confirm.pair, at: "width" in values ? "height" : "width" };
  return { values };
}

function ingestValues(fields) {
  const address = String(fields.get("url")).trim(), values = { url: address };
  let url = null;
  try { url = new URL(address); } catch { /* told below */ }
  if (url === null || !SCHEMES.includes(url.protocol) || url.host === "") return { error: text.confirm.badUrl, at: "url" };
  for (const name of Object.keys(SECRETS)) {
    const written = String(fields.get(name));
    if (written !== "") values[name] = written;
  }
  return { values };
}

function policyValues(fields) {
  const note = `${String(fields.get("note")).replaceAll("\r\n", "\n").trim()}\n`, { confirm } = text;
  if (read.policy(note) === null) return { error: confirm.badPolicy, at: "note" };
  if (new TextEncoder().encode(note).length > MOST_POLICY) return { error: confirm.longPolicy(MOST_POLICY), at: "note" };
  return { values: { note } };
}

function updateValues(fields) {
  const version = String(fields.get("version")).trim();
  return version === "" || /\s/.test(version) ? { error: text.confirm.badVersion, at: "version" } : { values: { version } };
}

function eraseValues(fields) {
  const reason = String(fields.get("reason"));
  return { values: reason === "" ? {} : { reason } };
}

const READ = {
  "set-video": videoValues, "set-ingest": ingestValues, "set-policy": policyValues, update: updateValues, erase: eraseValues,
};

// A form's values as they may be shown: a stream key shows on no screen.
function shown(values) {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Object.hasOwn(SECRETS, name) ? "…" : value]));
}

// What is described by the error: only the field that it is about.
const about = (bad, name) => ({ invalid: bad === name ? "true" : "false", by: bad === name ? "confirm-error" : nothing });

function field(app, name, label, more = {}) {
  const { invalid, by } = about(app.dialog.at, name);
  return html`<label>${label}<input name=${name} type=${more.type ?? "text"} inputmode=${more.number ? "numeric" : nothing} spellcheck="false"
    autocomplete="off" maxlength=${more.most ?? 300} placeholder=${more.hint ?? nothing} .defaultValue=${more.value ?? ""}
    aria-invalid=${invalid} aria-describedby=${by}></label>`;
}

async function takeFile(event, app) {
  const [file] = event.target.files, { form } = event.target;
  if (!file) return;
  form.elements.note.value = file.size > 2 * MOST_POLICY ? "" : await file.text();
  Object.assign(app.dialog, policyPreview(form));
  app.render();
}

const policyPreview = (form) => ({ policy: read.policy(String(form.elements.note.value).replaceAll("\r\n", "\n")) });

function fieldsOf(app, verb) {
  const { confirm } = text, { at, policy } = app.dialog;
  switch (verb) {
    case "set-video":
      return html`<div class="pair">${Object.entries(VIDEO).map(([name, [low, high]]) => (
        field(app, name, `${confirm[WORDS[name]]} (${format.number(low)}–${format.number(high)})`, { number: true, most: 6, hint: confirm.keep })))}</div>`;
    case "set-ingest":
      return html`${field(app, "url", confirm.url, { most: 500 })}
        ${field(app, "stream-key", confirm.streamKey, { type: "password" })}
        <details><summary>${confirm.others}</summary>${Object.entries(SECRETS).slice(1).map(([name, word]) => field(app, name, confirm[word], { type: "password" }))}</details>
        <p class="quiet">${confirm.secret}</p>`;
    case "set-policy": {
      const { invalid, by } = about(at, "note");
      return html`<label>${confirm.policyNote}<textarea name="note" rows="5" maxlength=${MOST_POLICY} spellcheck="false"
          aria-invalid=${invalid} aria-describedby=${by}></textarea></label>
        <label>${confirm.policyFile}<input type="file" accept=".note,.txt,text/plain" @change=${(event) => takeFile(event, app)}></label>
        <p class="quiet">${confirm.policyHint}</p>
        ${policy ? html`<p class="hint">${confirm.policySays(policy.version ?? text.unknown, policy.material)}</p>` : nothing}`;
    }
    case "update": {
      const newest = [...app.fleet.releases.values()].map(({ version }) => version).filter(Boolean);
      return html`${field(app, "version", confirm.version, { most: 80, value: newest[0] })}
        <p class="quiet">${confirm.runs(app.fleet.boxes.get(app.dialog.id)?.state?.software ?? text.unknown)}</p>`;
    }
    case "erase":
      return html`<label>${confirm.reason}<select name="reason"><option value="">${confirm.noReason}</option>
        ${REASONS.map((reason) => html`<option value=${reason}>${confirm.reasons[reason]}</option>`)}</select></label>`;
    default: return nothing;
  }
}

// What will be lost, and how the box is now.
function lossView(box, verb) {
  const { confirm } = text;
  return html`<ul class="loss">${confirm.lost[verb].map((each) => html`<li>${each}</li>`)}</ul>
    ${box ? html`<p class="hint">${confirm.now(phaseWord(box))}</p>` : nothing}`;
}

function submit(event, app) {
  event.preventDefault();
  const { id, verb } = app.dialog, fields = new FormData(event.target);
  const parsed = READ[verb]?.(fields) ?? { values: {} };
  if (!parsed.error && VERBS[verb].ends && String(fields.get("box-name")).trim() !== id) Object.assign(parsed, { error: text.confirm.wrongName(id), at: "box-name" });
  if (parsed.error) {
    Object.assign(app.dialog, { error: parsed.error, at: parsed.at });
    app.render();
    event.target.elements[parsed.at]?.focus();
    return;
  }
  event.target.closest("dialog").close();
  app.command(id, verb, false, parsed.values);
}

// What is written so far, as it will be sent.
function write(event, app) {
  const { verb } = app.dialog;
  app.dialog.values = READ[verb]?.(new FormData(event.currentTarget)).values ?? null;
  if (verb === "set-policy") Object.assign(app.dialog, policyPreview(event.currentTarget));
  app.render();
}

function previewView(app, signs) {
  const { id, verb, values } = app.dialog, { confirm } = text, written = shown(values ?? {});
  const preview = signs ? `tallybox/command/v1\n${JSON.stringify({ box: id, verb, ...written })}`
    : `${app.fleet.prefix}/${id}/cmd/${verb}\n${JSON.stringify(written)}`;
  return html`<p class="quiet">${signs ? confirm.signs : confirm.sends}</p>
    <pre class="preview">${preview}</pre>
    ${signs ? html`<p class="quiet">${text.command.signedBy(app.key.name)}</p>` : nothing}`;
}

export function confirmView(app) {
  const { id, verb, error } = app.dialog, { confirm } = text, signs = app.commands.signs(verb, id);
  const box = app.fleet.boxes.get(id), { ends } = VERBS[verb];
  const says = { "request-start": confirm.request, unmute: confirm.unmute }[verb] ?? text.verbSays[verb];
  return frame(app, confirm.title(text.verb[verb], id), html`
    <form @submit=${(event) => submit(event, app)} @input=${(event) => write(event, app)}>
      <p>${says}</p>
      ${ends ? lossView(box, verb) : nothing}
      ${fieldsOf(app, verb)}
      ${previewView(app, signs)}
      ${ends ? field(app, "box-name", confirm.name(id), { most: 64 }) : nothing}
      <p class="problem" id="confirm-error" role="alert">${error ?? ""}</p>
      <div class="bar end"><button type="button" class="plain" @click=${(event) => event.target.closest("dialog").close()}>${text.cancel}</button>
        <button class=${ends ? "stop" : "primary"}>${ends ? confirm.end[verb] : signs ? confirm.sign : confirm.send}</button></div>
    </form>`, "confirm");
}
