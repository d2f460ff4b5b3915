// What a screen reader is told: at most one sentence in so many seconds, in which what came meanwhile is counted.
import { format, text } from "./language.js";

const PAUSE = 4000;

export class Announcer {
  constructor(region) {
    this.region = region;
    this.waiting = [];
    this.lastAt = -Infinity;
  }

  // Told next, in the order in which it came; of many the newest three.
  say(words) {
    this.waiting.push(words);
    if (this.waiting.length > 3) this.waiting.shift();
    this.flush();
  }

  tally({ gone, back, fault }) {
    const said = [gone && text.say.gone(gone), back && text.say.back(back), fault && text.say.fault(fault)].filter(Boolean);
    if (said.length) this.say(format.list(said));
  }

  flush() {
    clearTimeout(this.timer);
    const left = this.lastAt + PAUSE - performance.now();
    if (this.waiting.length === 0) return;
    if (left > 0) { this.timer = setTimeout(() => this.flush(), left); return; }
    this.lastAt = performance.now();
    this.region.textContent = this.waiting.join(". ");
    this.waiting = [];
  }
}
