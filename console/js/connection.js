// The page's connection to the broker. Each attempt is a client of its own, so that nothing that was sent into a dead
// connection is sent again later, as another wish.
import mqtt from "../vendor/mqtt/mqtt.esm.js";

const FILTERS = ["availability", "state", "telemetry", "event", "reply", "config/reported"];
const LOCAL = ["localhost", "127.0.0.1", "[::1]"];
// Seconds. A browser wakes the timers of a page in the background once a minute: the half of this, in which a ping is
// sent, and that minute are still less than the one and a half for which a broker waits.
const KEEP_ALIVE = 150;
const FIRST_PAUSE = 1000, LONGEST_PAUSE = 30_000;

// The address as a URL, or the name of the text that says what is wrong with it.
export function checkAddress(address) {
  let url;
  try { url = new URL(address); } catch { return "badUrl"; }
  if (url.protocol === "ws:") return LOCAL.includes(url.hostname) ? url : "plain";
  return url.protocol === "wss:" && !url.username && !url.password && !url.hash ? url : "badUrl";
}
export const checkPrefix = (prefix) => /^[^\s#+\u0000]{1,128}$/.test(prefix) && !prefix.startsWith("/") && !prefix.endsWith("/");

const random = () => [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export class Connection {
  // `on`: message(topic, bytes, stored), up(), down(problem), problem(problem).
  constructor(settings, on) {
    this.settings = settings;
    this.on = on;
    this.pause = FIRST_PAUSE;
    this.retryAt = null;
    this.closed = false;
    this.up = false;
    this.box = null;
    this.attempt();
  }

  attempt() {
    clearTimeout(this.timer);
    this.retryAt = null;
    this.problem = null;
    const { url, user, password } = this.settings;
    const client = mqtt.connect(url, {
      protocolVersion: 5, clientId: `tallybox-console-${random()}`, clean: true, keepalive: KEEP_ALIVE,
      username: user || undefined, password: password || undefined, reconnectPeriod: 0, connectTimeout: 15_000,
      resubscribe: false, queueQoSZero: false,
      // Native: a worker of its own would need a looser content security policy.
      timerVariant: "native",
      // Boxes send 1 KiB; what is longer than 64 KiB stays at the broker.
      properties: { maximumPacketSize: 65_536, receiveMaximum: 500 },
    });
    this.client = client;
    this.acknowledged = new Map();
    client.on("connect", () => this.client === client && this.subscribe(client));
    client.on("message", (topic, bytes, packet) => this.client === client && this.on.message(topic, bytes, packet.retain));
    client.on("error", (error) => { this.problem ??= { code: error.code, reason: error.message }; });
    client.on("disconnect", (packet) => { this.problem ??= { code: packet.reasonCode, reason: packet.properties?.reasonString }; });
    // The library tells of an acknowledgement, but not of its reason.
    client.on("packetreceive", (packet) => packet.cmd === "puback" && this.acknowledged.set(packet.messageId, packet.reasonCode ?? 0));
    client.on("close", () => this.client === client && this.lose(client));
  }

  subscribe(client) {
    const { prefix } = this.settings;
    client.subscribe(FILTERS.map((filter) => `${prefix}/+/${filter}`).concat(`${prefix}/release/+`), { qos: 1 }, (error, granted) => {
      if (this.client !== client) return;
      // Without its state no box can be shown; the others are a gain where the broker's rules give them.
      const state = granted?.find(({ topic }) => topic.endsWith("/+/state"));
      if (!state || state.qos > 2) { this.problem = { code: "denied" }; client.end(true); return; }
      this.up = true;
      this.pause = FIRST_PAUSE;
      this.on.up();
      this.watch(this.box);
    });
  }

  // What is read of one box only: while somebody looks at it.
  watch(id) {
    const topics = (box) => ["config/desired", "checkpoint"].map((topic) => `${this.settings.prefix}/${box}/${topic}`);
    if (this.up && this.box !== null && this.box !== id) this.client.unsubscribe(topics(this.box));
    this.box = id;
    if (this.up && id !== null) this.client.subscribe(topics(id), { qos: 1 });
  }

  lose(client) {
    client.end(true);
    const was = this.up;
    this.up = false;
    this.client = null;
    if (this.closed) return;
    // Decorrelated jitter: consoles that lost one broker do not come back in step.
    this.pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE + Math.random() * (this.pause * 3 - FIRST_PAUSE));
    this.retryAt = Date.now() + this.pause;
    this.timer = setTimeout(() => this.attempt(), this.pause);
    (was ? this.on.down : this.on.problem)(this.problem);
  }

  // Resolves to the broker's reason code, or to null where it is not known whether the broker has it.
  publish(topic, payload) {
    if (!this.up) return Promise.resolve("unsent");
    return new Promise((resolve) => {
      const { client, acknowledged } = this;
      client.publish(topic, payload, { qos: 1, retain: false }, (error, packet) => {
        const code = acknowledged.get(packet?.messageId);
        acknowledged.delete(packet?.messageId);
        resolve(error ? error.code ?? null : code ?? 0);
      });
    });
  }

  close() {
    this.closed = true;
    this.up = false;
    clearTimeout(this.timer);
    this.client?.end();
    this.client = null;
  }
}
