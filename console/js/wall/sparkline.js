// A line without axes: where it goes, not how much it is. SVG, because each canvas would be a layer of its own.
const WIDTH = 118, HEIGHT = 28, POINTS = 60;
const SVG = "http://www.w3.org/2000/svg";

export function makeSparkline() {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "spark");
  svg.setAttribute("aria-hidden", "true");
  svg.append(path);
  return svg;
}

export function drawSparkline(svg, history) {
  const { values } = history.series("bitrate", POINTS);
  // From zero: a line that falls to the ground is a stream that is gone.
  let most = 1;
  for (const value of values) if (value > most) most = value;
  const step = WIDTH / (POINTS - 1), first = POINTS - values.length, scale = (HEIGHT - 4) / (most * 1.05);
  let path = "", drawing = false;
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i])) { drawing = false; continue; }
    path += `${drawing ? "L" : "M"}${((first + i) * step).toFixed(1)} ${(HEIGHT - 2 - values[i] * scale).toFixed(1)}`;
    drawing = true;
  }
  svg.firstChild.setAttribute("d", path);
}
