// An operator in JavaScript: MQTT.js, and Node's own Ed25519. Signed notes are built here after docs/notes.md alone.
// node mqttjs_operator.mjs PORT BOX NAME SEED-HEX: prints what came of each step as a line of JSON.
import crypto from "node:crypto";
import { createRequire } from "node:module";

// Where scripts/setup put the packages.
const require = createRequire(`${process.env.HOME}/.cache/tallybox/tools/clients/`);
const mqtt = require("mqtt");

const [port, box, name, seed] = process.argv.slice(2);
const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.from(seed, "hex")]);
const key = crypto.createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
const publicKey = crypto.createPublicKey(key).export({ format: "der", type: "spki" }).subarray(-32);
const typed = Buffer.concat([Buffer.from([1]), publicKey]);
const hash = crypto.createHash("sha256").update(`${name}\n`).update(typed).digest().subarray(0, 4);

function note(json) {
  const text = `tallybox/command/v1\n${JSON.stringify(json)}\n`;
  const signature = Buffer.concat([hash, crypto.sign(null, Buffer.from(text), key)]).toString("base64");
  return `${text}\n— ${name} ${signature}\n`;
}

const base = `tallybox/v1/${box}`;
const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, clientId: `js-${process.pid}` });
const answers = `answers/js-${process.pid}`;
const waiting = new Map();
let state;
client.on("message", (topic, payload, packet) => {
  if (topic === `${base}/state`) state = JSON.parse(payload);
  else waiting.get(packet.properties.correlationData.toString())?.(JSON.parse(payload));
});
await client.subscribeAsync([answers, `${base}/state`], { qos: 1 });

let number = 0;
async function send(verb, payload) {
  const correlationData = Buffer.from(`correlation-${++number}`);
  const answer = new Promise((resolve) => waiting.set(correlationData.toString(), resolve));
  const properties = { responseTopic: answers, correlationData };
  await client.publishAsync(`${base}/cmd/${verb}`, payload, { qos: 1, properties });
  return answer;
}
async function until(holds) {
  while (!(state && holds(state))) await new Promise((resolve) => setTimeout(resolve, 20));
}
const tell = (step, answer) => console.log(JSON.stringify({ step, ok: answer.ok, code: answer.code ?? null }));

await until((seen) => seen.phase === "idle");
const time = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
// Above whatever this key sent in this epoch before.
let seq = Date.now() * 1000;
const command = (verb, more = {}) =>
  ({ box, verb, id: crypto.randomUUID(), epoch: state.epoch, seq: ++seq, "deadline-s": state["uptime-s"] + 240, ...more });

const unsigned = { id: crypto.randomUUID(), "issued-at": time(0), "expires-at": time(60) };
tell("unsigned", await send("request-start", JSON.stringify(unsigned)));
const first = note(command("request-start"));
tell("signed", await send("request-start", first));
await until((seen) => seen.phase === "requested");
tell("again", await send("request-start", first));
tell("replayed", await send("identify", note(command("identify", { seq: 1 }))));
tell("misaddressed", await send("identify", note(command("identify", { box: "another-box" }))));
tell("epoch", await send("identify", note(command("identify", { epoch: "0".repeat(32) }))));
tell("forged", await send("identify", note(command("identify")).replace('"id":"', '"id":"x')));
tell("role", await send("erase", note(command("erase"))));
tell("stop", await send("stop", JSON.stringify({ id: crypto.randomUUID() })));
await until((seen) => seen.phase === "idle");
await client.endAsync();
