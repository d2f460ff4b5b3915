// Which boxes the wall shows, in which order, and in which groups.
import { LEVELS } from "../health.js";
import { PHASES } from "../payload.js";
import { text } from "../language.js";
import { phaseWord, why } from "../words.js";

export const SORTS = ["id", "health", "since", "bitrate", "temperature", "drops", "rtt"];
export const GROUPS = ["none", "health", "phase"];
// What the filters' buttons show, in the order of urgency; a box is in each that fits.
export const FILTERS = ["every", "attention", "watch", "gone", "live", "reconnecting", "connecting", "requested", "idle", "locked", "policy", "fault"];

const byId = new Intl.Collator("en", { numeric: true });
const number = (value) => value ?? -Infinity;

const COMPARE = {
  id: () => 0,
  health: (a, b) => LEVELS.indexOf(a.health.level) - LEVELS.indexOf(b.health.level),
  since: (a, b) => number(b.state?.since) - number(a.state?.since),
  bitrate: (a, b) => number(b.telemetry?.bitrate) - number(a.telemetry?.bitrate),
  temperature: (a, b) => number(b.telemetry?.temperature) - number(a.telemetry?.temperature),
  drops: (a, b) => number(b.dropShare) - number(a.dropShare),
  rtt: (a, b) => number(b.telemetry?.rtt) - number(a.telemetry?.rtt),
};

// The phase that a box is known to be in now; "gone" where nothing is known.
export const phaseNow = (box) => (box.health.presence === "online" ? box.state?.phase ?? "unknown" : "gone");

export const matches = {
  every: () => true,
  attention: (box) => box.health.level === "attention",
  watch: (box) => box.health.level === "watch",
  gone: (box) => box.health.level === "gone",
};
for (const phase of PHASES) matches[phase] = (box) => phaseNow(box) === phase;

export function counts(boxes) {
  const found = Object.fromEntries(FILTERS.map((name) => [name, 0]));
  for (const box of boxes) {
    found.every += 1;
    if (box.health.level !== "good") found[box.health.level] += 1;
    const phase = phaseNow(box);
    if (phase in found && phase !== "gone") found[phase] += 1;
  }
  return found;
}

function searched(wanted) {
  const words = wanted.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return () => true;
  return (box) => {
    const told = `${box.id} ${phaseWord(box)} ${why(box) ?? ""} ${text.presence[box.health.presence]}`.toLocaleLowerCase();
    return words.every((word) => told.includes(word));
  };
}

const GROUPED = {
  none: () => "",
  health: (box) => box.health.level,
  phase: phaseNow,
};
const RANK = { none: [""], health: LEVELS, phase: ["fault", "reconnecting", "connecting", "live", "stopping", "requested", "policy", "locked", "idle", "unknown", "gone"] };

// The groups that are shown: `[{ name, boxes }]`, without empty ones.
export function arrange(boxes, { filter, search, sort, group }) {
  const wanted = searched(search), fits = matches[filter];
  const groups = new Map(RANK[group].map((name) => [name, []]));
  for (const box of boxes) if (fits(box) && wanted(box)) groups.get(GROUPED[group](box)).push(box);
  for (const list of groups.values()) list.sort((a, b) => COMPARE[sort](a, b) || byId.compare(a.id, b.id));
  return [...groups].map(([name, list]) => ({ name, boxes: list })).filter((each) => each.boxes.length > 0);
}

export function groupTitle(group, name) {
  if (group === "health") return text.health[name];
  return name === "gone" ? text.health.gone : text.phase[name];
}
