// The operator's key. It is made by the browser, which signs with it and never tells it: a CryptoKey that cannot be
// exported. IndexedDB keeps it where the operator wants that, and the last sequence number with it.
import { hex, isName, keyId, parseSigner, verifierKey } from "./note.js";

const DATABASE = "tallybox-console";
const unbase64url = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
// What stands before the 32 bytes of a key in PKCS #8 (RFC 8410).
const PKCS8 = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

const promised = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

async function database() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => {
    request.result.createObjectStore("key");
    request.result.createObjectStore("sequence");
  };
  return promised(request);
}

async function within(store, mode, act) {
  const db = await database();
  try {
    const transaction = db.transaction(store, mode, { durability: "strict" });
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
    const value = await act(transaction.objectStore(store));
    await done;
    return value;
  } finally {
    db.close();
  }
}

// Whether this browser can sign at all: it needs a secure origin, and Ed25519.
export async function canSign() {
  try {
    await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
    return true;
  } catch {
    return false;
  }
}

async function complete(name, privateKey, publicKey) {
  return {
    name, publicKey, privateKey, id: hex(await keyId(name, publicKey)), verifier: await verifierKey(name, publicKey),
    kept: false, sign: (bytes) => crypto.subtle.sign("Ed25519", privateKey, bytes),
  };
}

export async function generate(name) {
  if (!isName(name)) return null;
  const pair = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
  return complete(name, pair.privateKey, new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)));
}

// From a signer key's text. The public half can be had from an exportable key only: that one is dropped at once.
export async function fromText(text) {
  const signer = parseSigner(text);
  if (signer === null) return null;
  const pkcs8 = Uint8Array.from([...PKCS8, ...signer.seed]);
  const open = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", true, ["sign"]);
  const publicKey = unbase64url((await crypto.subtle.exportKey("jwk", open)).x);
  const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, "Ed25519", false, ["sign"]);
  pkcs8.fill(0);
  signer.seed.fill(0);
  const key = await complete(signer.name, privateKey, publicKey);
  return key.id === signer.hash ? key : null;
}

// True once the browser has it.
export async function keep(key) {
  try {
    await within("key", "readwrite", (store) => promised(store.put({ name: key.name, publicKey: key.publicKey, privateKey: key.privateKey }, "operator")));
    key.kept = true;
    // Asks that the browser does not clear it when its disk is full.
    await navigator.storage?.persist?.();
  } catch { /* a private window, or a full disk: `kept` says it */ }
  return key.kept;
}

export async function kept() {
  try {
    const held = await within("key", "readonly", (store) => promised(store.get("operator")));
    return held ? { ...(await complete(held.name, held.privateKey, held.publicKey)), kept: true } : null;
  } catch {
    return null;
  }
}

export async function forget() {
  try { await within("key", "readwrite", (store) => promised(store.delete("operator"))); } catch { /* nothing was kept */ }
}

// The next sequence number of a key, in microseconds since 1970 as the other tools count: higher than each before, in
// this browser and, as long as clocks are about right, wherever the same key signs. One counter for all boxes and
// epochs rises within each of them.
const last = new Map();
export async function nextSequence(key) {
  const after = (before) => Math.max((before ?? 0) + 1, (last.get(key.id) ?? 0) + 1, Date.now() * 1000);
  let next;
  try {
    // In one transaction: two tabs never take the same number, and it is on disk before it is used.
    next = await within("sequence", "readwrite", async (store) => {
      const value = after(await promised(store.get(key.id)));
      await promised(store.put(value, key.id));
      return value;
    });
  } catch {
    next = after();
  }
  last.set(key.id, next);
  return next;
}
