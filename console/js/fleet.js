// What is known of the boxes: every message goes in here, and is bounded here.
import { duration, now as present } from "./clock.js";
import { assess } from "./health.js";
import { History } from "./history.js";
import * as read from "./payload.js";

// More would not be looked at by anybody, and a broken or hostile client must not fill the memory.
export const MOST_BOXES = 5000;
const MOST_EVENTS = 60, MOST_EVENTS_OPEN = 500;

class Box {
  constructor(id) {
    this.id = id;
    this.availability = "unknown";
    this.generation = 0;
    this.heardAt = 0;
    this.interval = null;
    this.state = null;
    this.telemetry = null;
    this.telemetryAt = 0;
    this.history = new History();
    this.dropShare = null;
    this.events = [];
    this.eventIds = new Set();
    this.lastEvent = null;
    this.olderEvents = 0;
    this.open = false;
    this.reported = null;
    this.desired = null;
    this.checkpoint = null;
    // The newest receipt of an erasure or unbinding: a signed note.
    this.receipt = null;
    this.fingerprint = null;
    // The guard's own time: `{ epoch, uptime, at }`, where `at` is this page's monotonic clock.
    this.clock = null;
    this.health = null;
  }
}

export class Fleet {
  constructor(prefix, link) {
    this.prefix = prefix;
    this.link = link;
    this.boxes = new Map();
    this.releases = new Map();
    this.changed = new Set();
    this.ignored = 0;
    this.full = false;
    this.tally = { gone: 0, back: 0, fault: 0 };
    this.onReply = () => {};
    this.onState = () => {};
  }

  // A message as it came. `stored`: the broker kept it, so how old it is is not known.
  hear(topic, bytes, stored) {
    const now = present(), rest = topic.slice(this.prefix.length + 1), cut = rest.indexOf("/");
    const id = rest.slice(0, cut), what = rest.slice(cut + 1);
    if (id === "release" && this.hearRelease(what, bytes)) return;
    const box = cut > 0 && read.ID.test(id) && Object.hasOwn(hear, what) ? this.boxes.get(id) ?? new Box(id) : null;
    if (box === null || !hear[what](this, box, bytes, stored, now)) { this.ignored += 1; return; }
    if (!this.boxes.has(id)) {
      if (this.boxes.size >= MOST_BOXES) { this.full = true; return; }
      this.boxes.set(id, box);
    }
    if (!stored) this.heardLive(box, what, now);
    this.judge(box, now);
  }

  heardLive(box, what, now) {
    box.heardAt = now;
    // A broker without retained messages keeps no availability: a box that speaks is there.
    if (box.generation === this.link.generation || (what !== "state" && what !== "telemetry")) return;
    box.availability = "online";
    box.generation = this.link.generation;
  }

  hearRelease(channel, bytes) {
    const note = read.note(read.string(bytes) ?? "", "tallybox/release/v1");
    if (note === null || !read.ID.test(channel)) return false;
    if (this.releases.size < 16 || this.releases.has(channel)) this.releases.set(channel, read.release(note));
    return true;
  }

  judge(box, now) {
    const before = box.health, after = assess(box, now, this.link);
    box.health = after;
    this.changed.add(box);
    if (before === null || !this.link.up || before.presence === "unknown") return;
    if (before.presence === "online" && after.presence !== "online") this.tally.gone += 1;
    if (before.presence !== "online" && after.presence === "online") this.tally.back += 1;
    if (before.lamp !== "sos" && after.lamp === "sos") this.tally.fault += 1;
  }

  // Time passes: boxes fall silent, and nothing is known without a connection.
  sweep(now) {
    for (const box of this.boxes.values()) {
      const { presence, level } = assess(box, now, this.link);
      if (box.health === null || presence !== box.health.presence || level !== box.health.level) this.judge(box, now);
    }
  }

  takeChanged() {
    const taken = this.changed;
    this.changed = new Set();
    return taken;
  }

  takeTally() {
    const taken = this.tally;
    this.tally = { gone: 0, back: 0, fault: 0 };
    return taken;
  }

  // What the guard's clock shows now, as far as it is known: `{ epoch, seconds }`.
  clockOf(box) {
    if (box.clock === null) return null;
    return { epoch: box.clock.epoch, seconds: Math.floor(box.clock.uptime + (performance.now() - box.clock.at) / 1000) };
  }

  setClock(box, epoch, uptime) {
    if (epoch === null || uptime === null) return;
    box.clock = { epoch, uptime, at: performance.now() };
  }
}

// One function for each topic below a box's: whether it understood the message.
const hear = {
  availability(fleet, box, bytes) {
    const said = read.string(bytes);
    // An empty one removes the box from the broker.
    if (!["online", "offline", "stopped", ""].includes(said)) return false;
    box.availability = said === "" ? "unknown" : said;
    box.generation = fleet.link.generation;
    return true;
  },
  state(fleet, box, bytes, stored) {
    const said = read.object(bytes), state = said && read.state(said);
    if (!state) return false;
    box.state = state;
    // A stored one tells the time of its publication, which a clock that is running already knows better.
    if (!stored || box.clock?.epoch !== state.epoch) fleet.setClock(box, state.epoch, state.uptime);
    fleet.onState(box);
    return true;
  },
  telemetry(fleet, box, bytes, stored, now) {
    const said = read.object(bytes);
    if (!said) return false;
    box.telemetry = read.telemetry(said);
    if (box.telemetryAt) {
      const passed = now - box.telemetryAt;
      box.interval = box.interval === null ? passed : Math.max(passed, box.interval * 0.9);
    }
    box.telemetryAt = now;
    if (box.state?.epoch && box.telemetry.guardUptime !== null) fleet.setClock(box, box.state.epoch, box.telemetry.guardUptime);
    box.history.add(now, box.telemetry);
    box.dropShare = box.history.dropShare();
    return true;
  },
  event(fleet, box, bytes) {
    const said = read.object(bytes), event = said && read.event(said);
    if (!event) return false;
    if (box.eventIds.has(event.id)) return true;
    box.eventIds.add(event.id);
    box.events.push(event);
    box.lastEvent = event;
    if (event.fact.kind === "identified") box.fingerprint = event.fact.fingerprint;
    if (event.receipt !== null) box.receipt = event.receipt;
    if (box.events.length > (box.open ? MOST_EVENTS_OPEN : MOST_EVENTS)) { box.eventIds.delete(box.events.shift().id); box.olderEvents += 1; }
    return true;
  },
  reply(fleet, box, bytes) {
    const said = read.object(bytes);
    if (!said) return false;
    const reply = read.reply(said);
    fleet.setClock(box, reply.epoch, reply.uptime);
    if (reply.receipt !== null) box.receipt = reply.receipt;
    fleet.onReply(box, reply);
    return true;
  },
  "config/reported"(fleet, box, bytes) {
    const said = read.object(bytes);
    box.reported = said && read.reported(said);
    // Who sends seldom is not silent: the twin may say how seldom, before two messages do.
    const told = duration(box.reported?.keys.get("mqtt.telemetry-interval")?.value);
    if (told !== null) box.interval = Math.max(told, box.interval ?? 0);
    return said !== null || bytes.length === 0;
  },
  "config/desired"(fleet, box, bytes) {
    const said = read.note(read.string(bytes) ?? "", "tallybox/desired/v1");
    box.desired = said && read.desired(said);
    return said !== null || bytes.length === 0;
  },
  checkpoint(fleet, box, bytes) {
    const said = read.checkpoint(read.string(bytes) ?? "");
    if (said) box.checkpoint = said;
    return said !== null;
  },
};
