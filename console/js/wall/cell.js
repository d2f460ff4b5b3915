// One box on the wall: made once, and then changed only where what it shows changed.
import { format, text } from "../language.js";
import { makeLamp, setLamp } from "../lamp.js";
import { healthWord, label, lasting, phaseSaid, phaseWord, why } from "../words.js";
import { drawSparkline, makeSparkline } from "./sparkline.js";

const FIGURES = ["bitrate", "temperature", "rtt", "drops"];

function part(parent, name, tag = "span") {
  const made = document.createElement(tag);
  made.className = name;
  parent.append(made);
  return made;
}

export function makeCell(view) {
  const root = document.createElement("div");
  root.className = "cell";
  root.setAttribute("role", "gridcell");
  root.tabIndex = -1;
  const lamp = makeLamp(), parts = {};
  root.append(lamp);
  if (view !== "lamps") {
    for (const name of ["id", "mark", "phase", "note"]) parts[name] = part(root, name);
    const figures = part(root, "figures");
    for (const name of FIGURES) {
      const figure = part(figures, `figure ${name}`);
      // Without their names figures say nothing to those who hear them.
      part(figure, "sr").textContent = `${text.figure[name]} `;
      parts[name] = part(figure, "value");
    }
    parts.spark = makeSparkline();
    root.append(parts.spark);
  }
  return { root, lamp, parts, view, box: null, drawn: -1 };
}

function say(node, words) {
  if (node.textContent !== words) node.textContent = words;
}
function set(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

function figure(box, name) {
  const told = box.health.presence === "online" && box.telemetry;
  if (!told) return text.none;
  if (name === "drops") return box.dropShare === null ? text.none : format.percent(box.dropShare);
  const value = box.telemetry[name];
  if (value === null) return text.none;
  return name === "temperature" ? format.decimal(value) : format.number(Math.round(value));
}
const UNITS = { bitrate: " kbit/s", temperature: " °C", rtt: " ms", drops: "" };

// Beside the phase: since when; and if there is something to look at, what.
function remark(box, now) {
  const { presence, reasons } = box.health;
  if (presence !== "online") return box.state === null ? "" : text.box.last(phaseSaid(box));
  // The box's own reason says more than the name of its phase.
  const told = why(box) === null ? [] : ["fault", "reconnecting", "connecting", "policy", "device", "encoder"];
  const worst = reasons.filter(([word]) => !told.includes(word)).map(healthWord)[0];
  return worst ?? why(box) ?? (box.state?.since ? text.box.since(lasting(box.state.since, now)) : "");
}

export function showCell(cell, box, now) {
  const fresh = cell.box !== box;
  cell.box = box;
  const { root, lamp, parts } = cell, { health } = box;
  setLamp(lamp, health.lamp);
  set(root, "data-level", health.level);
  set(root, "data-presence", health.presence);
  set(root, "data-id", box.id);
  if (cell.view === "lamps") {
    const words = label(box);
    set(root, "aria-label", words);
    set(root, "title", words);
    return;
  }
  say(parts.id, box.id);
  say(parts.phase, phaseWord(box));
  say(parts.note, remark(box, now));
  say(parts.mark, health.level === "good" || health.level === "gone" ? "" : text.health[health.level]);
  for (const name of FIGURES) {
    const value = figure(box, name);
    say(parts[name], value === text.none ? value : value + UNITS[name]);
  }
  if (fresh || cell.drawn !== box.history.count) {
    cell.drawn = box.history.count;
    drawSparkline(parts.spark, box.history);
  }
}
