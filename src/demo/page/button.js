"use strict";
// The two buttons: by pointer, by keyboard, by a click that no pointer made (screen readers, voice control), or held by
// the page. What a touch brings is said by the demo's words, taken when it began.
const button = (() => {
  // The click that ends a touch by pointer comes at once; one that comes later is a touch of its own.
  const ECHO = 300, TAP = 100, MARGIN = 200;
  const $ = (id) => document.getElementById(id);
  let words = null, spans = null, since = null, span = -1;

  function animate(now) {
    if (since === null) return;
    const millis = now - since, at = spans.findLastIndex((each) => each["from-ms"] <= Math.max(0, millis));
    $("hold").value = millis / 1000;
    $("hint").textContent = `${Math.max(0, millis / 1000).toFixed(1)} s. ${spans[at].says}`;
    // Read out once for each span, not ten times a second.
    if (at !== span) { span = at; $("said").textContent = spans[at].says; }
  }
  function rest() {
    since = null; span = -1;
    $("hold").hidden = true; $("said").textContent = "";
    if (words && $("hint").textContent !== words.button) $("hint").textContent = words.button;
  }
  function press(part, down) {
    const wish = part.id === "mute" ? "mute-button" : "button";
    if (part.classList.contains("down") === down) return;
    // Nothing was sent: nothing looks pressed.
    if (!send({ do: wish, down }) && down) return;
    part.classList.toggle("down", down);
    if (part.id === "mute") return;
    if (!down) { rest(); return; }
    since = performance.now(); spans = words.spans;
    $("hold").hidden = false;
  }
  function hold(part, millis) {
    if (part.classList.contains("down")) return;
    press(part, true);
    setTimeout(() => press(part, false), millis);
  }

  for (const part of [$("record"), $("mute")]) {
    let released = -ECHO;
    const down = () => press(part, true);
    const up = () => { if (part.classList.contains("down")) { released = performance.now(); press(part, false); } };
    const key = (act) => (event) => { if ([" ", "Enter"].includes(event.key)) { event.preventDefault(); act(); } };
    part.addEventListener("pointerdown", (event) => { part.setPointerCapture(event.pointerId); down(); });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) part.addEventListener(kind, up);
    part.addEventListener("keydown", key(down));
    part.addEventListener("keyup", key(up));
    part.addEventListener("click", () => { if (performance.now() - released >= ECHO) hold(part, TAP); });
    part.addEventListener("contextmenu", (event) => event.preventDefault());
  }
  for (const control of document.querySelectorAll("[data-hold]")) control.addEventListener("click", () => hold($("record"), control.dataset.hold * 1000 + MARGIN));

  return {
    animate,
    hear(told) {
      words = told;
      // Without a connection the demo has let go already.
      if (!shop) for (const part of [$("record"), $("mute")]) part.classList.remove("down");
      if (since === null || !shop) rest();
    },
  };
})();
