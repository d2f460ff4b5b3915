// What the operator asked for, and how far it got. Each step is one that somebody confirmed: the broker that it has the
// command, the box that it accepts it, the box's state that it is done.
import * as keys from "./keys.js";
import { signed } from "./note.js";

// Seconds for a command to be judged, on the box's own clock; an answer that takes longer is not awaited.
const DEADLINE = 30;
const PATIENCE = 20_000;
const MOST = 100;
const NO_SUBSCRIBER = 0x10;
const STALE = ["wrong-epoch", "expired", "too-far-ahead"];

// What the box's state has to say before a command counts as done; a verb without a line shows in no state.
const SHOWN = {
  stop: (state) => !["requested", "connecting", "live", "reconnecting", "stopping"].includes(state.phase),
  "request-start": (state) => state.phase === "requested",
  mute: (state) => state.muted === true || state.session === null,
  unmute: (state) => state.muted === false,
};
// These stop something, and work without a signature on every box.
const UNSIGNED = ["stop", "mute"];

export const VERBS = ["stop", "request-start", "mute", "unmute", "identify", "diagnose", "set-video", "set-ingest"];
// These change what people see, hear or send: they are asked about first.
export const CONFIRMED = ["request-start", "unmute", "set-video", "set-ingest"];

export class Commands {
  constructor({ fleet, publish, key, changed }) {
    Object.assign(this, { fleet, publish, key, changed });
    this.list = [];
    fleet.onReply = (box, reply) => this.hearReply(box, reply);
    fleet.onState = (box) => this.hearState(box);
  }

  of(id) { return this.list.filter((command) => command.box === id); }

  signs(verb) { return this.key() !== null && !UNSIGNED.includes(verb); }

  async send(id, verb, values = {}) {
    const command = {
      id: crypto.randomUUID(), box: id, verb, values, at: Date.now(), status: "sending", error: null, code: null, again: false,
      signer: this.signs(verb) ? this.key() : null,
    };
    this.list.unshift(command);
    this.list.length = Math.min(this.list.length, MOST);
    await this.transmit(command);
    return command;
  }

  async payload(command, box) {
    const { id, verb, values, signer } = command;
    if (signer === null) {
      const times = { "issued-at": new Date(Date.now()).toISOString(), "expires-at": new Date(Date.now() + DEADLINE * 1000).toISOString() };
      return JSON.stringify({ id, ...(UNSIGNED.includes(verb) ? {} : times), ...values });
    }
    const clock = this.fleet.clockOf(box) ?? { epoch: "0".repeat(32), seconds: 0 };
    const seq = await keys.nextSequence(signer);
    const body = { box: box.id, verb, id, epoch: clock.epoch, seq, "deadline-s": clock.seconds + DEADLINE, ...values };
    return signed("tallybox/command/v1", body, signer);
  }

  async transmit(command) {
    const box = this.fleet.boxes.get(command.box);
    clearTimeout(command.timer);
    command.timer = setTimeout(() => this.step(command, "lost"), PATIENCE);
    this.step(command, "sending");
    let code;
    try {
      code = await this.publish(`${this.fleet.prefix}/${command.box}/cmd/${command.verb}`, await this.payload(command, box));
    } catch {
      code = "unsent";
    }
    if (command.status !== "sending") return;
    if (code === "unsent" || code >= 0x80) this.step(command, "unsent");
    else if (code === NO_SUBSCRIBER) this.step(command, "nobody");
    else if (code !== null) this.step(command, "asked");
  }

  step(command, status) {
    const ended = ["done", "refused", "nobody", "unsent", "lost"];
    command.status = status;
    if (ended.includes(status)) clearTimeout(command.timer);
    this.changed(command);
  }

  hearReply(box, reply) {
    const command = this.list.find((each) => each.id === reply.id && each.box === box.id);
    if (!command || ["done", "refused"].includes(command.status)) return;
    Object.assign(command, { error: reply.error, code: reply.code, progress: reply.progress });
    if (reply.diagnosis) command.diagnosis = reply.diagnosis;
    if (!reply.ok) { this.refused(command, box, reply); return; }
    if (reply.progress !== null) { clearTimeout(command.timer); this.step(command, "progress"); return; }
    const shown = SHOWN[command.verb];
    const state = reply.state ?? box.state;
    this.step(command, !shown || (state && shown(state)) ? "done" : "accepted");
  }

  // A box that restarted, or whose clock this page knew wrongly, tells the right one with its refusal: once more then,
  // under another id.
  refused(command, box, reply) {
    if (command.signer !== null && !command.again && STALE.includes(reply.code) && reply.epoch !== null && reply.uptime !== null) {
      Object.assign(command, { again: true, id: crypto.randomUUID(), error: null, code: null });
      this.transmit(command);
      return;
    }
    this.step(command, "refused");
  }

  hearState(box) {
    for (const command of this.list) {
      if (command.box === box.id && command.status === "accepted" && SHOWN[command.verb]?.(box.state)) this.step(command, "done");
    }
  }
}
