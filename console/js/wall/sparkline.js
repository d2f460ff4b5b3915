// A line without axes, in a canvas: where it goes, not how much it is.
const WIDTH = 240, HEIGHT = 28, POINTS = 60;
let colour = null;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colour = null; });

export function makeSparkline() {
  const canvas = document.createElement("canvas");
  canvas.className = "spark";
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}

export function drawSparkline(canvas, history) {
  const context = canvas.getContext("2d");
  colour ??= getComputedStyle(document.documentElement).getPropertyValue("--line-ink").trim();
  context.clearRect(0, 0, WIDTH, HEIGHT);
  const { values } = history.series("bitrate", POINTS);
  const known = values.filter((value) => !Number.isNaN(value));
  if (known.length < 2) return;
  // From zero: a line that falls to the ground is a stream that is gone.
  const most = Math.max(...known, 1) * 1.05, step = WIDTH / (POINTS - 1), first = POINTS - values.length;
  context.strokeStyle = colour;
  context.lineWidth = 1.6;
  context.lineJoin = "round";
  context.beginPath();
  let drawing = false;
  values.forEach((value, index) => {
    if (Number.isNaN(value)) { drawing = false; return; }
    const x = (first + index) * step, y = HEIGHT - 2 - (value / most) * (HEIGHT - 4);
    if (drawing) context.lineTo(x, y); else context.moveTo(x, y);
    drawing = true;
  });
  context.stroke();
}
