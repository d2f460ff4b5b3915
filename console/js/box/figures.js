// The parts of a box's details that only tell: figures, configuration, software, identity.
import { html, nothing } from "../html.js";
import { format, text } from "../language.js";
import { sentence } from "../words.js";

const rows = (pairs) => html`<dl>${pairs.map(([name, value]) => (value === null || value === undefined ? nothing
  : html`<div><dt>${name}</dt><dd>${value}</dd></div>`))}</dl>`;
const maybe = (value, write) => (value === null || value === undefined ? null : write(value));

export function figuresView(box) {
  const { figure } = text, told = box.telemetry;
  if (told === null) return html`<p class="quiet">${text.box.identityNone}</p>`;
  const yes = (value) => (value ? figure.yes : figure.no);
  return rows([
    [figure.bitrate, maybe(told.bitrate, figure.kbps)], [figure.target, maybe(told.target, figure.kbps)],
    [figure.fps, maybe(told.fps, figure.perSecond)], [figure.height, maybe(told.height, figure.px)],
    [figure.drops, maybe(told.drops, figure.count)], [figure.rtt, maybe(told.rtt, figure.ms)],
    [figure.queue, maybe(told.queue, figure.ms)], [figure.reconnects, maybe(told.reconnects, figure.count)],
    [figure.reduced, maybe(told.reduced, yes)], [figure.level, maybe(told.level, figure.db)],
    [figure.link, maybe(told.link, (kind) => figure.linkKind(kind, told.metered))],
    [figure.second, maybe(told.secondBitrate, figure.kbps)],
    [figure.temperature, maybe(told.temperature, figure.celsius)], [figure.throttled, told.throttled],
    [figure.memory, maybe(told.memory, figure.mib)], [figure.disk, maybe(told.disk, figure.mib)],
    [figure.uptime, maybe(told.uptime, format.duration)], [figure.certificate, maybe(told.certificate, format.day)],
  ]);
}

export function eventsView(box) {
  const { box: words } = text;
  if (box.events.length === 0) return html`<p class="quiet">${words.noEvents}</p>`;
  return html`<ol class="events" reversed>${box.events.toReversed().map((event) => html`<li data-kind=${event.fact.kind}>
      <span class="seq">${event.seq ?? text.none}</span>
      <time datetime=${event.at === null ? "" : new Date(event.at).toISOString()}>${event.at === null ? text.none : format.date(event.at)}</time>
      <span>${sentence(event.fact)}</span></li>`)}</ol>
    ${box.olderEvents ? html`<p class="quiet">${words.more(box.olderEvents)}</p>` : nothing}`;
}

export function twinView(box) {
  const { box: words } = text, { desired, reported } = box;
  if (desired === null && (reported === null || reported.keys.size === 0)) {
    return html`<p class="quiet">${reported?.error ? `${words.twinRefused} ${reported.error}` : words.twinNone}</p>`;
  }
  const keys = [...new Set([...(desired?.keys.keys() ?? []), ...(reported?.keys.keys() ?? [])])].sort();
  const versions = rows([[words.desiredVersion, maybe(desired?.version, format.number)], [words.reportedVersion, maybe(reported?.version, format.number)]]);
  return html`${versions}
    ${reported?.error ? html`<p class="problem">${words.twinRefused} ${reported.error}</p>` : nothing}
    <div class="scroll" tabindex="0" role="region" aria-label=${words.twin}><table>
      <thead><tr>${words.twinColumns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
      <tbody>${keys.map((key) => twinRow(key, desired?.keys.get(key), reported?.keys.get(key)))}</tbody></table></div>`;
}

function twinRow(key, wanted, answer) {
  const { twinCodes } = text.box, code = answer?.code ?? "asked";
  const words = Object.hasOwn(twinCodes, code) ? twinCodes[code] : code;
  return html`<tr data-code=${code}><th scope="row"><code>${key}</code></th><td>${wanted ?? text.none}</td><td>${answer?.value ?? text.none}</td>
    <td>${words}${answer?.text ? html`<br><span class="quiet">${answer.text}</span>` : nothing}</td></tr>`;
}

export function softwareView(box, releases) {
  const { box: words } = text;
  const newest = [...releases].map(([channel, release]) => `${release.version ?? text.unknown} (${channel}${release.security ? `, ${words.security}` : ""})`);
  return rows([[words.software, box.state?.software ?? text.unknown], [words.release, newest.length ? format.list(newest) : words.releaseNone]]);
}

export function identityView(box, fleet) {
  const { box: words } = text, clock = fleet.clockOf(box), last = box.lastEvent?.id.slice(box.id.length + 1, box.id.length + 17);
  return rows([
    [words.id, box.id], [words.policy, box.state?.policy ?? text.unknown], [words.ledgerId, last ?? words.identityNone],
    [words.fingerprint, box.fingerprint ?? words.identityNone],
    [words.checkpoint, box.checkpoint ? `${words.entry} ${format.number(box.checkpoint.size)}` : words.identityNone],
    [words.signed, { true: words.signedYes, false: words.signedNo }[box.state?.signed] ?? text.unknown],
    [words.warnings, maybe(box.state?.warnings, (said) => (said === "" ? text.none : said))],
    [words.epoch, clock?.epoch ?? text.unknown], [words.guardUptime, maybe(clock?.seconds, format.duration) ?? text.unknown],
  ]);
}
