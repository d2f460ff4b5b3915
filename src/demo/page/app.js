"use strict";
// Shows what the demo says. The words for the box come from there; this page makes up none but for its own connection.
const $ = (id) => document.getElementById(id);
// The demo tells twice a second that it still looks: after this many milliseconds of silence nothing here is known to
// hold.
const STALE = 3000;
const LOST = {
  state: "Not known", why: "", camera: "doubt", sound: "", mute: "Sound: not known", lamp: "Lamp: not known",
  "camera-says": "Nothing is known of camera and microphone: this page has lost its connection to the demo.",
  picture: "Whether a stream arrives is not known.",
  button: "This page has lost its connection: it cannot press the button.",
  spans: [{ "from-ms": 0, says: "This page has lost its connection: the button is not pressed." }],
};
let socket = null, shop = null, words = null, heardAt = performance.now();

// Text is set only where it changes: a live region would be read out again.
const say = (id, text) => { if ($(id).textContent !== text) $(id).textContent = text; };
// Nothing is sent into a connection that may be dead: it would arrive late, as another wish.
const send = (wish) => { if (shop) socket.send(JSON.stringify(wish)); return Boolean(shop); };

// The lamp: on and off in milliseconds, beginning with on, for ever.
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let lampSince = 0;
function lit(since) {
  if (!shop) return "unknown";
  const spans = shop.rhythm;
  if (spans.includes(0)) return spans[0] > 0;
  if (calm.matches) return "still";
  let left = since % spans.reduce((sum, span) => sum + span, 0);
  for (let i = 0; i < spans.length; i++) { if (left < spans[i]) return i % 2 === 0; left -= spans[i]; }
  return false;
}
function drawLamp(now) {
  const lamp = $("lamp").dataset, pattern = shop ? shop.lamp : "unknown";
  if (lamp.pattern !== pattern) { lamp.pattern = pattern; lampSince = now; }
  const on = String(lit(now - lampSince));
  if (lamp.lit !== on) lamp.lit = on;
}
function animate(now) {
  drawLamp(now);
  button.animate(now);
  requestAnimationFrame(animate);
}

function show() {
  say("phase", words.state);
  $("phase").dataset.phase = shop ? shop.phase ?? "no-answer" : "unknown";
  say("camera", words["camera-says"]);
  $("camera").dataset.camera = words.camera;
  say("reason", words.why ?? "");
  say("microphone", words.sound);
  say("mute-state", words.mute);
  say("lamp-words", words.lamp);
  drawLamp(performance.now());
  $("lamp").setAttribute("aria-label", words.lamp);
  if (shop && shop.muted !== null) $("mute").setAttribute("aria-pressed", String(shop.muted));
  else $("mute").removeAttribute("aria-pressed");
  plots.hear(shop && shop.stream);
  button.hear(words);
  showPicture();
}
// In the place of a picture that does not come stands why.
function showPicture() {
  if (words) say("dark", player.cannot ? `${player.cannot} ${words["camera-says"]}` : `${words.picture} ${words["camera-says"]}`);
  $("dark").hidden = Boolean(shop) && player.plays();
}

function usable(yes) {
  for (const control of document.querySelectorAll("[role=switch]")) control.disabled = !yes;
  for (const control of document.querySelectorAll("#record, #mute, [data-hold], [data-act]")) control.setAttribute("aria-disabled", String(!yes));
}
function lose() {
  shop = null; words = LOST;
  hear.platform({ link: "not known", reaches: false, says: "This page has lost its connection: it sends no command." });
  $("lost").hidden = false;
  usable(false);
  show();
}

for (const [id, name] of [["network", "network"], ["ingest", "ingest"], ["broker", "broker"], ["wire", "lamp"]]) {
  $(id).dataset.name = name;
  $(id).addEventListener("change", () => {
    const all = [...document.querySelectorAll("[role=switch]")].map((each) => [each.dataset.name, each.checked]);
    if (!send({ do: "switch", switches: Object.fromEntries(all) })) $(id).checked = !$(id).checked;
  });
}
for (const control of document.querySelectorAll("[data-act]")) control.addEventListener("click", () => send({ do: "break", act: control.dataset.act }));
for (const control of document.querySelectorAll("[data-verb]")) control.addEventListener("click", () => {
  if (!send({ do: "command", verb: control.dataset.verb })) say("answer", `${control.textContent}: Not sent. ${$("reach").textContent}`);
});

function line(list, parts, most) {
  const item = document.createElement("li");
  for (const [tag, text] of parts) { const part = document.createElement(tag); part.textContent = text; item.append(part); }
  list.prepend(item);
  while (list.children.length > most) list.lastChild.remove();
}
const clock = (time) => new Date(time).toLocaleTimeString([], { hour12: false });
let telemetryAt = 0;
function forget(ids) { for (const field of document.querySelectorAll(ids)) if (field.textContent !== "–") field.textContent = "–"; }

const hear = {
  shop(message) {
    shop = message; words = message.words;
    $("lost").hidden = true;
    usable(true);
    show();
  },
  entry({ entry }) {
    const { kind, ...detail } = entry.fact;
    const words = Object.entries(detail).filter(([, value]) => value !== null).map(([key, value]) => `${key}=${value}`).join("  ");
    line($("ledger"), [["time", `${String(entry.seq).padStart(3)}  ${clock(entry.at)}`], ["b", kind], ["span", words], ["code", `${entry.prev.slice(0, 8)} → ${entry.hash.slice(0, 8)}`]], 200);
  },
  mqtt({ topic, payload, retained }) {
    if (topic === "state") { $("m-phase").textContent = payload.phase; $("m-session").textContent = payload.session ?? "–"; }
    if (topic === "telemetry") {
      telemetryAt = performance.now();
      for (const [key, value] of Object.entries(payload)) {
        const field = $(`m-${key}`);
        if (field) field.textContent = value === null ? "–" : (key.endsWith("mib") ? `${(value / 1024).toFixed(1)} GiB` : Math.round(value));
      }
    } else line($("mqtt"), [["time", clock(Date.now())], ["b", topic], ["span", typeof payload === "string" ? payload : JSON.stringify(payload.fact || payload)], ["code", retained ? "retained" : ""]], 60);
  },
  // What the platform heard before it lost the box is not known to hold any more.
  platform({ link, reaches, says }) {
    say("link", link);
    $("link").classList.toggle("bad", !reaches);
    say("reach", says);
    // Of a command that was not sent that much stays true; why, may have changed.
    say("answer", $("answer").textContent.match(/^[^:]+: Not sent\./)?.[0] ?? "");
    if (!reaches) forget("#facts dd");
    for (const control of document.querySelectorAll("[data-verb]")) control.setAttribute("aria-disabled", String(!reaches));
  },
  answer({ verb, ok, says }) {
    say("answer", `${document.querySelector(`[data-verb="${verb}"]`).textContent}: ${says}`);
    $("answer").classList.toggle("bad", !ok);
  },
  switches(switches) { for (const each of document.querySelectorAll("[role=switch]")) each.checked = switches[each.dataset.name]; },
};

function connect() {
  const mine = socket = new WebSocket(`ws://${location.host}/control`);
  mine.onopen = () => { $("ledger").replaceChildren(); $("mqtt").replaceChildren(); };
  mine.onmessage = ({ data }) => { heardAt = performance.now(); const message = JSON.parse(data); hear[message.tell](message); };
  mine.onclose = () => { lose(); setTimeout(connect, 500); };
}
setInterval(() => {
  const now = performance.now();
  // Closed, so that a demo that only slept lets go of what this page held.
  if (words !== LOST && now - heardAt > STALE) { lose(); socket.close(); }
  if (now - telemetryAt > STALE) forget("#facts dd:not(#m-phase, #m-session)");
  showPicture();
}, 500);
connect();
player.connect();
requestAnimationFrame(animate);
