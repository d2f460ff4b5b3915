// What the operator asked for, and how far it got. Each step is one that somebody confirmed: the broker that it has the
// command, the box that it accepts it, the box's state that it is done.
import * as keys from "./keys.js";
import { signed } from "./note.js";
import * as pending from "./pending.js";
import { lacks, MOST_BYTES, signs, VERBS } from "./verbs.js";

// Seconds for a command to be judged, on the box's own clock; an answer that takes longer is not awaited.
const DEADLINE = 30;
const PATIENCE = 20_000;
// Milliseconds without a word of a command that waits for people or a disk; a question to staff lasts a minute or so.
const LONG_PATIENCE = 30 * 60_000;
const MOST = 100;
const NO_SUBSCRIBER = 0x10;
const STALE = ["wrong-epoch", "expired", "too-far-ahead", "replayed"];
// Nobody knows how it ended: the guard is away, or another one than the one that began.
const AWAY = [...STALE, "unavailable"];
const ENDED = ["done", "refused", "nobody", "unsent", "lost"];
// In this step the box's programs are started anew, and those that come after answer.
const SUCCEEDED = "installing";

// What the box's state has to say before a command counts as done; a verb without a line shows in no state.
const SHOWN = {
  stop: (state) => !["requested", "connecting", "live", "reconnecting", "stopping"].includes(state.phase),
  "request-start": (state) => state.phase === "requested",
  mute: (state) => state.muted === true || state.session === null,
  unmute: (state) => state.muted === false,
};

const bytes = (text) => new TextEncoder().encode(text).length;

export class Commands {
  constructor({ fleet, publish, key, changed }) {
    Object.assign(this, { fleet, publish, key, changed });
    this.list = pending.kept(fleet.prefix);
    this.list.forEach((command) => this.wait(command, LONG_PATIENCE));
    fleet.onReply = (box, reply) => this.hearReply(box, reply);
    fleet.onState = (box) => this.hearState(box);
  }

  of(id) { return this.list.filter((command) => command.box === id); }

  signs(verb, id) { return signs(verb, this.fleet.boxes.get(id), this.key()); }

  lacks(verb, id) { return lacks(verb, this.fleet.boxes.get(id), this.key()); }

  async send(id, verb, values = {}) {
    const command = {
      id: crypto.randomUUID(), box: id, verb, values, at: Date.now(), status: "sending", error: null, code: null, again: false,
      signer: this.signs(verb, id) ? this.key() : null, payload: null, epoch: null, receipt: null, progress: null,
      // Whether the box has begun: it is never signed anew then.
      begun: false,
      // Whether its answer may have passed by.
      unsure: false,
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
      return JSON.stringify({ id, ...(VERBS[verb].signed === "never" ? {} : times), ...values });
    }
    const clock = this.fleet.clockOf(box) ?? { epoch: "0".repeat(32), seconds: 0 };
    const seq = await keys.nextSequence(signer);
    const body = { box: box.id, verb, id, epoch: clock.epoch, seq, "deadline-s": clock.seconds + DEADLINE, ...values };
    command.epoch = clock.epoch;
    return signed("tallybox/command/v1", body, signer);
  }

  async transmit(command) {
    const box = this.fleet.boxes.get(command.box);
    this.wait(command, PATIENCE);
    this.step(command, "sending");
    let code;
    try {
      command.payload = await this.payload(command, box);
      code = bytes(command.payload) > MOST_BYTES ? "tooLong" : await this.publish(this.topic(command), command.payload);
    } catch {
      code = "unsent";
    }
    if (command.status !== "sending") return;
    if (code === "unsent" || code === "tooLong" || code >= 0x80) this.step(command, "unsent");
    else if (code === NO_SUBSCRIBER) this.step(command, "nobody");
    else if (code !== null) this.step(command, "asked");
  }

  topic(command) { return `${this.fleet.prefix}/${command.box}/cmd/${command.verb}`; }

  wait(command, patience) {
    clearTimeout(command.timer);
    command.timer = setTimeout(() => this.step(command, "lost"), patience);
  }

  step(command, status) {
    command.status = status;
    if (ENDED.includes(status)) clearTimeout(command.timer);
    pending.keep(this.fleet.prefix, this.list);
    this.changed(command);
  }

  hearReply(box, reply) {
    const command = this.list.find((each) => each.id === reply.id && each.box === box.id);
    if (!command || ["done", "refused"].includes(command.status)) return;
    const succeeded = command.progress === SUCCEEDED;
    // The new guard knows nothing of it, and is no end of it.
    if (succeeded && STALE.includes(reply.code)) return;
    Object.assign(command, { error: reply.error, code: reply.code, progress: reply.progress });
    if (reply.diagnosis) command.diagnosis = reply.diagnosis;
    if (reply.receipt) command.receipt = reply.receipt;
    if (!reply.ok && succeeded) { this.step(command, "refused"); return; }
    if (!reply.ok) { this.refused(command, box, reply); return; }
    if (reply.progress !== null) {
      command.begun = true;
      this.wait(command, LONG_PATIENCE);
      this.step(command, "progress");
      return;
    }
    const shown = SHOWN[command.verb];
    const state = reply.state ?? box.state;
    this.step(command, !shown || (state && shown(state)) ? "done" : "accepted");
  }

  // A box that restarted, whose clock this page knew wrongly, or that heard a later command before, tells so with its
  // refusal: once more then, under another id.
  refused(command, box, reply) {
    // Its guard has restarted since it began, and does not know how that ended.
    if (command.begun && AWAY.includes(reply.code)) { this.step(command, "lost"); return; }
    // It trusts a key since its last state.
    const unsigned = reply.code === "unsigned" && command.signer === null && VERBS[command.verb].signed !== "never";
    const signer = unsigned ? this.key() : command.signer;
    if (signer !== null && !command.again && (unsigned || STALE.includes(reply.code)) && reply.epoch !== null && reply.uptime !== null) {
      Object.assign(command, { signer, again: true, id: crypto.randomUUID(), error: null, code: null });
      this.transmit(command);
      return;
    }
    this.step(command, "refused");
  }

  hearState(box) {
    for (const command of this.list) {
      if (command.box !== box.id) continue;
      if (command.status === "accepted" && SHOWN[command.verb]?.(box.state)) this.step(command, "done");
      // Its guard has restarted: nobody answers any more. The ledger says what became of it.
      const over = command.epoch !== null && box.state.epoch !== null && box.state.epoch !== command.epoch;
      if (command.status !== "progress") continue;
      if (over && command.progress !== SUCCEEDED) this.step(command, "lost");
      else if (command.unsure) this.repeat(command);
    }
  }

  // After an outage or a reload the answer to a long command may have passed by. The box gives the same answer to the
  // same bytes, and does nothing twice; in another epoch it refuses them.
  askAgain() {
    for (const command of this.list) {
      if (command.status !== "progress" || command.payload === null) continue;
      command.unsure = true;
      this.repeat(command);
    }
  }

  // A box that is not back yet is asked once it is heard.
  async repeat(command) {
    try { command.unsure = (await this.publish(this.topic(command), command.payload)) !== 0; } catch { /* still unsure */ }
  }
}
