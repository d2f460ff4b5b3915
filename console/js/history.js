// The last figures of one box, in little memory: 2,000 boxes have 240 points each.
import { FIGURES } from "./payload.js";

const POINTS = 240;
export const NAMES = Object.keys(FIGURES);

export class History {
  constructor() {
    this.times = new Float64Array(POINTS);
    this.values = new Float32Array(POINTS * NAMES.length);
    this.count = 0;
  }

  // `at` in milliseconds; a figure that is null is a gap.
  add(at, figures) {
    const slot = this.count % POINTS;
    this.times[slot] = at;
    NAMES.forEach((name, index) => { this.values[slot * NAMES.length + index] = figures[name] ?? NaN; });
    this.count += 1;
  }

  get length() { return Math.min(this.count, POINTS); }

  // The times and values of the last `most` points, oldest first.
  series(name, most = POINTS) {
    const column = NAMES.indexOf(name), length = Math.min(this.length, most);
    const times = new Float64Array(length), values = new Float32Array(length);
    for (let i = 0; i < length; i++) {
      const slot = (this.count - length + i) % POINTS;
      times[i] = this.times[slot];
      values[i] = this.values[slot * NAMES.length + column];
    }
    return { times, values };
  }

  // The share of frames that were dropped between the last two points; null where that is not known.
  dropShare() {
    if (this.length < 2) return null;
    const { times, values } = this.series("drops", 2), fps = this.series("fps", 1).values[0];
    const dropped = values[1] - values[0], sent = fps * (times[1] - times[0]) / 1000;
    return dropped >= 0 && sent + dropped > 0 ? dropped / (sent + dropped) : null;
  }
}
