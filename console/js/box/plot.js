// Plots of a box's figures, on a canvas: time from left to right, one line or two, with the value under the pointer.
import { format, text } from "../language.js";

const HEIGHT = 96, LEFT = 6, RIGHT = 6, TOP = 8, BOTTOM = 18;
// No line is drawn over a gap longer than this many milliseconds.
const GAP = 5 * 60_000;

export const PLOTS = [
  { name: "bitrate", unit: "kbps", aim: "target", floor: 0 },
  { name: "fps", unit: "perSecond", floor: 0 },
  { name: "rtt", unit: "ms", floor: 0 },
  { name: "temperature", unit: "celsius", floor: 20 },
  { name: "drops", unit: "count", floor: 0 },
];

export function summary({ name, unit }, history) {
  const { values } = history.series(name), known = [...values].filter((value) => !Number.isNaN(value));
  const title = text.figure[name], write = text.figure[unit];
  if (known.length === 0) return { title, now: text.none, label: text.figure.plotEmpty(title), empty: true };
  const last = values.at(-1), now = Number.isNaN(last) ? text.none : write(last);
  return { title, now, label: text.figure.plot(title, now, write(Math.min(...known)), write(Math.max(...known))), empty: false };
}

function path(context, { times, values }, x, y) {
  context.beginPath();
  let before = null;
  values.forEach((value, i) => {
    if (Number.isNaN(value)) { before = null; return; }
    if (before !== null && times[i] - before <= GAP) context.lineTo(x(times[i]), y(value)); else context.moveTo(x(times[i]), y(value));
    before = times[i];
  });
}

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function frame(canvas) {
  const ratio = Math.min(devicePixelRatio, 3), width = canvas.clientWidth;
  if (canvas.width !== Math.round(width * ratio)) { canvas.width = Math.round(width * ratio); canvas.height = Math.round(HEIGHT * ratio); }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, HEIGHT);
  context.font = "11px system-ui, sans-serif";
  return { context, width };
}

export function drawPlot(canvas, plot, history, pointer) {
  const { context, width } = frame(canvas);
  const main = history.series(plot.name), aim = plot.aim ? history.series(plot.aim) : null;
  const known = [...main.values, ...(aim?.values ?? [])].filter((value) => !Number.isNaN(value));
  if (known.length === 0 || width === 0) return;
  const low = Math.min(plot.floor, ...known), high = Math.max(...known, low + 1) * 1.08;
  const from = main.times[0], until = Math.max(main.times.at(-1), from + 60_000);
  const x = (at) => LEFT + (at - from) / (until - from) * (width - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
  context.strokeStyle = ink("--rule");
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(LEFT, HEIGHT - BOTTOM + 0.5);
  context.lineTo(width - RIGHT, HEIGHT - BOTTOM + 0.5);
  context.stroke();
  context.fillStyle = ink("--soft");
  context.textBaseline = "alphabetic";
  context.fillText(format.clock(from), LEFT, HEIGHT - 4);
  context.textAlign = "right";
  context.fillText(format.clock(until), width - RIGHT, HEIGHT - 4);
  context.textAlign = "left";
  context.lineJoin = "round";
  if (aim) {
    context.strokeStyle = ink("--aim");
    context.setLineDash([4, 3]);
    path(context, aim, x, y);
    context.stroke();
    context.setLineDash([]);
  }
  context.strokeStyle = ink("--line-ink");
  context.lineWidth = 1.8;
  path(context, main, x, y);
  context.stroke();
  if (pointer !== null) drawPointer(context, { plot, main, x, y, width, pointer });
}

// The point that is nearest to the pointer, with its value and time.
function drawPointer(context, { plot, main, x, y, width, pointer }) {
  let best = -1;
  main.values.forEach((value, i) => {
    if (!Number.isNaN(value) && (best < 0 || Math.abs(x(main.times[i]) - pointer) < Math.abs(x(main.times[best]) - pointer))) best = i;
  });
  if (best < 0) return;
  const at = x(main.times[best]), words = text.figure.at(text.figure[plot.unit](main.values[best]), format.clock(main.times[best]));
  context.fillStyle = ink("--line-ink");
  context.beginPath();
  context.arc(at, y(main.values[best]), 3.5, 0, 7);
  context.fill();
  const room = context.measureText(words).width + 10, left = Math.min(Math.max(at - room / 2, 0), width - room);
  context.fillStyle = ink("--card");
  context.fillRect(left, 0, room, 17);
  context.fillStyle = ink("--ink");
  context.fillText(words, left + 5, 12);
}
