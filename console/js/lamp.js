// The lamps of the page. All that show one pattern blink together, as `LampPattern::spans` of the boxes has it: lamps
// out of step would be unrest. A pattern that is dark just now is a class on the page's root.
export const SPANS = {
  dark: [0, 1000], "slow-pulse": [1000, 1000], "unbind-request": [50, 50, 50, 50, 50, 50, 50, 50, 50, 950], "fast-blink": [125, 125], solid: [1000, 0], "solid-notched": [1900, 100],
  "double-blink": [150, 150, 150, 750], "triple-blink": [150, 150, 150, 150, 150, 950], "lock-flash": [80, 4920],
  sos: [150, 150, 150, 150, 150, 450, 450, 150, 450, 150, 450, 450, 150, 150, 150, 150, 150, 1050],
};
const moving = Object.entries(SPANS).filter(([, spans]) => !spans.includes(0))
  .map(([name, spans]) => ({ name: `off-${name}`, spans, total: spans.reduce((sum, span) => sum + span, 0), dark: null }));
const calm = matchMedia("(prefers-reduced-motion: reduce)");

// Whether the pattern is lit at `now`, and for how many milliseconds more.
function lit({ spans, total }, now) {
  let left = now % total;
  for (let i = 0; i < spans.length; i++) {
    if (left < spans[i]) return [i % 2 === 0, spans[i] - left];
    left -= spans[i];
  }
  return [true, total];
}

export function beginLamps(root) {
  const tick = () => {
    const now = performance.now();
    let next = 1000;
    for (const pattern of moving) {
      const [on, left] = calm.matches || document.hidden ? [true, 1000] : lit(pattern, now);
      next = Math.min(next, left);
      if (pattern.dark !== !on) { pattern.dark = !on; root.classList.toggle(pattern.name, !on); }
    }
    setTimeout(tick, Math.max(next, 30));
  };
  tick();
}

export function makeLamp() {
  const lamp = document.createElement("span");
  lamp.className = "lamp";
  lamp.setAttribute("aria-hidden", "true");
  return lamp;
}

export function setLamp(lamp, pattern) {
  const name = `lamp lamp-${pattern}`;
  if (lamp.className !== name) lamp.className = name;
}
