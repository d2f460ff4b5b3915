"use strict";
const $ = (id) => document.getElementById(id);
let socket = null, shop = null, spans = [0, 1000], lampSince = 0, lampWord = "dark";

const send = (wish) => { if (socket && socket.readyState === 1) socket.send(JSON.stringify(wish)); };
const capturing = () => shop && ["connecting", "live", "reconnecting", "stopping"].includes(shop.phase);

// The lamp: on and off spans from the box's own code, beginning with on, for ever.
function lit(since) {
  if (spans.includes(0)) return spans[0] > 0;
  let left = since % spans.reduce((sum, span) => sum + span, 0);
  for (let i = 0; i < spans.length; i++) { if (left < spans[i]) return i % 2 === 0; left -= spans[i]; }
  return false;
}
function animate(now) {
  const on = String(lit(now - lampSince));
  if ($("lamp").dataset.lit !== on) $("lamp").dataset.lit = on;
  if (heldSince !== null) showHold((now - heldSince) / 1000);
  requestAnimationFrame(animate);
}

// The record button: what letting go now would do.
let heldSince = null, stopped = false;
function showHold(seconds) {
  const meter = $("hold");
  meter.hidden = false; meter.value = seconds;
  const phase = shop ? shop.phase : "";
  let hint;
  if (stopped && seconds < 5) hint = "That touch stopped it. Letting go starts nothing.";
  else if (seconds >= 30) hint = "The button counts as stuck: letting go destroys nothing.";
  else if (seconds >= 10) hint = "Letting go now unbinds: keys, credentials and footage are destroyed.";
  else if (seconds >= 8) hint = "The lamp warns: from 10 s on letting go unbinds the box. Letting go now does not.";
  else if (seconds >= 5) hint = "Privacy lock. Hold 2 s later to unlock.";
  else if (phase === "locked" || phase === "policy") hint = seconds < 2 ? "Hold for 2 s." : "Done.";
  else if (seconds >= 3) hint = "Letting go now does nothing. 5 s lock the box.";
  else if (seconds >= 0.7) hint = "Let go now: picture only, the microphone stays closed.";
  else hint = "Let go now: picture and sound.";
  $("hint").textContent = `${seconds.toFixed(1)} s. ${hint}`;
}
function rest() {
  const hints = {
    idle: "Press the red button for picture and sound. Hold it for a second for picture only.",
    requested: "The platform asks. Nothing happens unless somebody presses.",
    connecting: "Connecting. Any touch of the red button stops it.",
    live: "Live. Any touch of the red button stops it, on the way down.",
    reconnecting: "Still capturing, and looking for the server. Any touch stops it.",
    stopping: "Stopping.",
    locked: "Locked. Hold the red button for 2 s to unlock.",
    policy: "A new policy: hold the red button for 2 s to acknowledge it.",
    fault: "Something is broken: nothing starts.",
  };
  $("hold").hidden = true;
  $("hint").textContent = shop ? hints[shop.phase] || "" : "The box does not answer.";
}
function press(button, down, wish) {
  if (button.classList.contains("down") === down) return;
  button.classList.toggle("down", down);
  send({ do: wish, down });
  if (wish !== "button") return;
  if (down) { heldSince = performance.now(); stopped = capturing(); } else { heldSince = null; rest(); }
}
for (const [id, wish] of [["record", "button"], ["mute", "mute-button"]]) {
  const button = $(id);
  button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); press(button, true, wish); });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) button.addEventListener(kind, () => press(button, false, wish));
  button.addEventListener("keydown", (event) => { if ([" ", "Enter"].includes(event.key)) { event.preventDefault(); press(button, true, wish); } });
  button.addEventListener("keyup", (event) => { if ([" ", "Enter"].includes(event.key)) press(button, false, wish); });
  button.addEventListener("contextmenu", (event) => event.preventDefault());
}

for (const name of ["network", "ingest", "broker"]) $(name).addEventListener("change", () => {
  send({ do: "switch", switches: { network: $("network").checked, ingest: $("ingest").checked, broker: $("broker").checked } });
});
for (const button of document.querySelectorAll("[data-verb]")) button.addEventListener("click", () => send({ do: "command", verb: button.dataset.verb }));

function line(list, parts, most) {
  const item = document.createElement("li");
  for (const [tag, text] of parts) { const part = document.createElement(tag); part.textContent = text; item.append(part); }
  list.prepend(item);
  while (list.children.length > most) list.lastChild.remove();
}
const clock = (time) => new Date(time).toLocaleTimeString([], { hour12: false });

const hear = {
  shop({ status, spans: rhythm }) {
    shop = status;
    const word = status ? status.lamp : "dark";
    if (word !== lampWord) { lampWord = word; lampSince = performance.now(); }
    spans = rhythm;
    $("lamp").dataset.pattern = word;
    $("lamp").setAttribute("aria-label", `Lamp: ${word}`);
    $("phase").textContent = status ? status.phase : "no answer";
    $("reason").textContent = status && (status.message || status.reason) ? `(${status.message || status.reason})` : "";
    $("mute").dataset.muted = Boolean(status && status.muted);
    plots.hear(status && status.stream);
    if (heldSince === null) rest();
  },
  entry({ entry }) {
    const { kind, ...detail } = entry.fact;
    const words = Object.entries(detail).filter(([, value]) => value !== null).map(([key, value]) => `${key}=${value}`).join("  ");
    line($("ledger"), [["time", `${String(entry.seq).padStart(3)}  ${clock(entry.at)}`], ["b", kind], ["span", words], ["code", `${entry.prev.slice(0, 8)} → ${entry.hash.slice(0, 8)}`]], 200);
  },
  mqtt({ topic, payload, retained }) {
    if (topic === "state") { $("m-phase").textContent = payload.phase; $("m-session").textContent = payload.session ?? "–"; }
    if (topic === "telemetry") for (const [key, value] of Object.entries(payload)) {
      const field = $(`m-${key}`);
      if (field) field.textContent = value === null ? "–" : (key.endsWith("mib") ? `${(value / 1024).toFixed(1)} GiB` : Math.round(value));
    }
    if (topic === "availability") { link.box = payload; badge(); }
    if (topic !== "telemetry") line($("mqtt"), [["time", clock(Date.now())], ["b", topic], ["span", typeof payload === "string" ? payload : JSON.stringify(payload.fact || payload)], ["code", retained ? "retained" : ""]], 60);
  },
  broker({ up }) { link.broker = up; if (!up) link.box = "not heard of yet"; badge(); },
  switches({ network, ingest, broker }) { $("network").checked = network; $("ingest").checked = ingest; $("broker").checked = broker; },
};
const link = { broker: false, box: "unknown" };
function badge() {
  const good = link.broker && link.box === "online";
  $("link").textContent = link.broker ? `box ${link.box}` : "broker is down";
  $("link").classList.toggle("bad", !good);
}

function connect() {
  socket = new WebSocket(`ws://${location.host}/control`);
  socket.onopen = () => { $("ledger").replaceChildren(); $("mqtt").replaceChildren(); };
  socket.onmessage = ({ data }) => { const message = JSON.parse(data); hear[message.tell](message); };
  socket.onclose = () => { hear.shop({ status: null, spans: [0, 1000] }); setTimeout(connect, 500); };
}
connect();
requestAnimationFrame(animate);
