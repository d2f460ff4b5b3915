// Header and toolbar: connection, language, key; which boxes are shown and how.
import { html, live, nothing } from "./html.js";
import { choose, format, lang, languages, text } from "./language.js";
import { problemWords } from "./login.js";
import { FILTERS, GROUPS, SORTS } from "./wall/order.js";
import { MOST_BOXES } from "./fleet.js";

const LAMPS = {
  live: "solid", reconnecting: "double-blink", connecting: "fast-blink", requested: "slow-pulse", idle: "dark",
  locked: "lock-flash", policy: "triple-blink", fault: "sos",
};
export const VIEWS = ["cards", "list", "lamps"];

export function languageView(app) {
  return html`<label class="language"><span class="sr">${text.language}</span>
    <select @change=${(event) => { choose(event.target.value); app.relabel(); }}>
      ${Object.entries(languages).map(([tag, name]) => html`<option value=${tag} lang=${tag} ?selected=${tag === lang}>${name}</option>`)}
    </select></label>`;
}

function linkView(app) {
  const { link } = app;
  return html`<span class="link" data-up=${link.up}><i></i>${link.up ? text.link.up : text.link.down}</span>`;
}

// On a narrow screen a part is folded away behind a button.
function unfold(app, name, words) {
  const open = app.unfolded === name;
  return html`<button class="plain unfold" aria-expanded=${open} aria-controls=${name}
    @click=${() => { app.unfolded = open ? null : name; app.render(); }}>${words}</button>`;
}

export function headerView(app) {
  return html`
    <header class="top">
      <h1><span class="mark"></span>tallybox</h1>
      ${linkView(app)}
      <span class="fill"></span>
      ${unfold(app, "menu", text.menu)}
      <div class="menu" id="menu" data-open=${app.unfolded === "menu"}>
      <button class="plain key" @click=${() => app.show("key")}>${text.key.open}<span class="quiet">${app.key ? app.key.name : text.key.none}</span></button>
      <button class="plain" @click=${() => app.show("help")}>${text.help.open}</button>
      ${languageView(app)}
      <button class="plain" @click=${() => app.leave()}>${text.link.leave}</button></div>
    </header>`;
}

// What is wrong with the connection; what is shown is old then, and says so.
export function bannerView(app) {
  const { link, connection, fleet } = app;
  if (!link.up) {
    const left = connection?.retryAt ? Math.max(0, Math.ceil((connection.retryAt - Date.now()) / 1000)) : null;
    // The time is read out once; the seconds that count down are not.
    return html`<section class="banner bad" aria-label=${text.link.down}><p role="alert">${text.link.lost(format.clock(link.lostAt))} ${app.problem ? problemWords(app.problem) : ""}</p>
      ${left === null ? html`<p>${text.login.connecting}</p>` : html`<p>${text.link.retry(left)}</p>
        <button class="plain" @click=${() => connection.attempt()}>${text.link.now}</button>`}</section>`;
  }
  const told = [fleet.full ? text.wall.tooMany(MOST_BOXES) : "", fleet.ignored > 0 ? text.wall.ignored(fleet.ignored) : ""].filter(Boolean);
  return told.length ? html`<section class="banner" aria-label=${text.link.notice}>${told.map((words) => html`<p>${words}</p>`)}</section>` : nothing;
}

function filterView(app, name) {
  const count = app.counts[name] ?? 0, on = app.shown.filter === name;
  if (count === 0 && !on && name !== "every") return nothing;
  const words = name === "every" ? text.wall.every : text.health[name] ?? text.phase[name];
  return html`<button class="chip" data-level=${name} aria-pressed=${on} @click=${() => app.arrange({ filter: on ? "every" : name })}>
    ${LAMPS[name] ? html`<span class="lamp lamp-${LAMPS[name]}" aria-hidden="true"></span>` : nothing}${words}
    <b>${format.number(count)}</b></button>`;
}

function choice(app, name, values, words, title) {
  return html`<label class="choice">${title}
    <select @change=${(event) => app.arrange({ [name]: event.target.value })}>
      ${values.map((value) => html`<option value=${value} ?selected=${app.shown[name] === value}>${words[value]}</option>`)}
    </select></label>`;
}

export function toolbarView(app) {
  const { wall } = text;
  return html`
    <section class="tools" aria-label=${wall.filter}>
      <div class="chips" role="group" aria-label=${wall.filter}>${FILTERS.map((name) => filterView(app, name))}</div>
      <div class="controls">
        <label class="search"><span class="sr">${wall.search}</span>
          <input type="search" id="search" maxlength="80" spellcheck="false" placeholder=${`${wall.search}: ${wall.searchHint}`}
            .value=${live(app.shown.search)} @input=${(event) => app.arrange({ search: event.target.value })}></label>
        ${unfold(app, "arrange", wall.arrange)}
        <div class="more" id="arrange" data-open=${app.unfolded === "arrange"}>
        ${choice(app, "group", GROUPS, wall.groups, wall.group)}
        ${choice(app, "sort", SORTS, wall.sorts, wall.sort)}
        <div class="views" role="group" aria-label=${wall.view}>
          ${VIEWS.map((view) => html`<button class="plain" aria-pressed=${app.shown.view === view}
            @click=${() => app.arrange({ view })}>${wall.views[view]}</button>`)}
        </div>
        </div>
        <span class="quiet count">${wall.shown(app.found, app.fleet.boxes.size)}</span>
      </div>
    </section>`;
}

export function emptyView(app) {
  if (app.found > 0) return nothing;
  const none = app.fleet.boxes.size === 0;
  return html`<div class="empty"><p>${none ? text.wall.empty : text.wall.noMatch}</p>
    ${none ? nothing : html`<button class="plain" @click=${() => app.arrange({ filter: "every", search: "" })}>${text.wall.clear}</button>`}</div>`;
}
