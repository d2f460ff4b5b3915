// The details of one box.
import { now as present } from "../clock.js";
import { html, nothing } from "../html.js";
import { format, text } from "../language.js";
import { GROUPS, VERBS } from "../verbs.js";
import { ago, healthWord, incidentSays, lasting, phaseWord, phaseSaid, presenceSays, why } from "../words.js";
import { eventsView, figuresView, identityView, softwareView, twinView } from "./figures.js";
import { drawPlot, PLOTS, summary } from "./plot.js";
import { receiptView } from "./receipt.js";

const pointers = new Map();

// Redraws the plots that are in the page.
export function drawPlots(root, box) {
  for (const canvas of root.querySelectorAll("canvas.plot")) {
    const plot = PLOTS.find(({ name }) => name === canvas.dataset.name);
    drawPlot(canvas, plot, box.history, pointers.get(plot.name) ?? null);
  }
}

function headView(app, box, now) {
  const { health, state } = box, away = health.presence !== "online";
  const says = [state?.since && !away ? text.box.since(lasting(state.since, now)) : "", !away && state?.session ? text.box.session(state.session) : "",
    box.heardAt ? text.box.heard(ago(box.heardAt, now)) : ""].filter(Boolean);
  return html`
    <div class="bar"><button class="plain back" @click=${() => app.open(null)}>← ${text.box.back}</button></div>
    <div class="who"><span class="lamp big lamp-${health.lamp}" role="img" aria-label=${text.lamp.name(text.lamp[health.lamp])}></span>
      <div><h2 tabindex="-1" id="box-title">${box.id}</h2>
        <p class="phase">${phaseWord(box)}${away && state ? html` <span class="quiet">${text.box.last(phaseSaid(box))}</span>` : nothing}</p></div></div>
    <p class="camera" data-camera=${health.camera}>${text.camera[health.camera]}</p>
    ${away ? html`<p class="hint">${presenceSays(box, now)}</p>` : nothing}
    ${!away && why(box) ? html`<p>${why(box)}</p>` : nothing}
    <p class="quiet">${says.join(" · ")}</p>
    ${health.reasons.length ? html`<ul class="reasons">${health.reasons.map((each) => html`<li>${healthWord(each)}</li>`)}</ul>` : nothing}
    ${!away && state?.incidents.length ? html`<ul class="incidents">${state.incidents.map((each) => html`<li>${incidentSays(each)}</li>`)}</ul>` : nothing}`;
}

// A verb is held back only where it could not arrive, or where the box would refuse it for want of a signature: the box
// itself judges the rest.
function actionView(app, box, verb, block) {
  const { asks, ends } = VERBS[verb], lack = block === "" ? app.commands.lacks(verb, box.id) : null, held = block !== "" || lack !== null;
  const reason = block !== "" ? "block" : lack ?? `says-${verb}`;
  return html`<button class=${verb === "stop" ? "stop" : ends ? "plain end" : "plain"} data-verb=${verb}
      aria-disabled=${held} aria-describedby=${reason} title=${lack ? text.command[lack] : text.verbSays[verb]}
      @click=${() => { if (!held) app.command(box.id, verb, asks); }}>${text.verb[verb]}${asks ? "…" : ""}</button>
    <span class="sr" id="says-${verb}">${text.verbSays[verb]}</span>`;
}

function actionsView(app, box) {
  const { link } = app, here = box.health.presence === "online" || box.health.presence === "stale";
  const block = !link.up ? text.command.down : here ? "" : text.command.offline;
  const verbs = Object.keys(VERBS), lacks = block === "" ? [...new Set(verbs.map((verb) => app.commands.lacks(verb, box.id)).filter(Boolean))] : [];
  return html`
    <h3>${text.box.actions}</h3>
    <p class="hint" id="block">${block}</p>
    ${lacks.map((lack) => html`<p class="hint" id=${lack}>${text.command[lack]}
      ${lack === "noKey" ? html`<button class="plain" @click=${() => app.show("key")}>${text.key.open}…</button>` : nothing}</p>`)}
    ${GROUPS.map((group) => html`<div class="actions" role="group" aria-label=${text.box.groups[group]} data-group=${group}>
      ${verbs.filter((verb) => VERBS[verb].group === group).map((verb) => actionView(app, box, verb, block))}</div>`)}
    ${commandsView(app, box)}`;
}

export function commandWords(command) {
  const { command: words } = text;
  if (command.status === "progress") return words.progress(Object.hasOwn(words.progresses, command.progress) ? words.progresses[command.progress] : command.progress);
  if (command.status === "lost" && command.begun) return words.lostBegun;
  if (command.status === "done" && command.error) return words.unwritten;
  return command.status === "done" ? words.as[command.verb] ?? words.done : words[command.status];
}

// What was asked for beside the verb, where it is short and no secret.
function parameters({ verb, values }) {
  if (verb === "set-video") return ` · ${Object.entries(values).map(([name, value]) => `${name} ${value}`).join(", ")}`;
  return verb === "update" && values.version ? ` · ${values.version}` : "";
}

function commandsView(app, box) {
  const mine = app.commands.of(box.id), { command: words } = text;
  if (mine.length === 0) return nothing;
  return html`<h4>${text.box.asked}</h4><ol class="commands">${mine.slice(0, 12).map((command) => html`
    <li data-status=${command.status} data-verb=${command.verb}>
      <time>${format.clock(command.at)}</time> <b>${text.verb[command.verb]}</b> <span class="status">${commandWords(command)}</span>
      <span class="quiet">${command.signer ? words.signedBy(command.signer.name) : words.unsigned}${parameters(command)}${command.again ? ` · ${words.again}` : ""}</span>
      ${command.status === "refused" ? html`<p>${Object.hasOwn(words.codes, command.code ?? "") ? words.codes[command.code] : command.code ?? ""} ${command.error ? html`<span class="quiet">${words.said} ${command.error}</span>` : nothing}</p>` : nothing}
      ${command.receipt ? html`<p>${words.receipt}</p>` : nothing}
      ${command.diagnosis ? html`<dl class="diagnosis">${Object.entries(command.diagnosis).map(([name, value]) => html`<div><dt>${name}</dt><dd>${String(value ?? text.none)}</dd></div>`)}</dl>` : nothing}
    </li>`)}</ol>`;
}

function plotsView(app, box) {
  const move = (event) => {
    pointers.set(event.target.dataset.name, event.type === "pointerleave" ? null : event.offsetX);
    app.schedule();
  };
  return html`<div class="plots">${PLOTS.map((plot) => {
    const { title, now, label, empty } = summary(plot, box.history);
    return html`<figure data-empty=${empty}><figcaption>${title}<b>${now}</b></figcaption>
      <canvas class="plot" data-name=${plot.name} role="img" aria-label=${label} @pointermove=${move} @pointerleave=${move}></canvas></figure>`;
  })}</div>`;
}

const section = (title, hint, body, open) => html`<details ?open=${open}><summary>${title}</summary>
  ${hint ? html`<p class="quiet">${hint}</p>` : nothing}${body}</details>`;

export function panelView(app) {
  const box = app.fleet.boxes.get(app.opened), now = present(), { box: words } = text;
  if (!box) return html`<section class="panel" aria-label=${words.details}><div class="bar"><button class="plain back" @click=${() => app.open(null)}>← ${words.back}</button></div>
    <h2 tabindex="-1" id="box-title">${app.opened}</h2><p>${text.phase.unheard}</p></section>`;
  return html`<section class="panel" aria-label=${words.details}>
    ${headView(app, box, now)}
    ${actionsView(app, box)}
    ${section(words.plots, words.plotsHint, plotsView(app, box), true)}
    ${section(words.events, words.eventsHint, eventsView(box), true)}
    ${section(words.figures, "", figuresView(box), false)}
    ${section(words.twin, words.twinHint, twinView(box), false)}
    ${section(words.update, "", softwareView(box, app.fleet.releases), false)}
    ${section(words.identity, "", identityView(box, app.fleet), false)}
    ${box.receipt ? section(text.receipt.title, text.receipt.hint, receiptView(app, box.receipt), true) : nothing}
  </section>`;
}
