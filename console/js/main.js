// The page as a whole: what it knows, when it draws, and what its keys do.
import { Announcer } from "./announce.js";
import { drawPlots, panelView, commandWords } from "./box/panel.js";
import { now } from "./clock.js";
import { Commands } from "./commands.js";
import { Connection } from "./connection.js";
import { confirmView } from "./confirm.js";
import { helpView, keyView } from "./dialogs.js";
import { Fleet } from "./fleet.js";
import { html, nothing, render } from "./html.js";
import * as keys from "./keys.js";
import { beginLamps } from "./lamp.js";
import * as language from "./language.js";
import { beginLogin, loginView, problemWords, remember } from "./login.js";
import { ID } from "./payload.js";
import { bannerView, emptyView, headerView, languageView, toolbarView, VIEWS } from "./top.js";
import { arrange, counts, GROUPS } from "./wall/order.js";
import { Wall } from "./wall/wall.js";

// Milliseconds between two arrangements of the wall, two drawings of what surrounds it, and two of what changed on it:
// faster nobody reads, and the frames between stay free for scrolling.
const ARRANGE = 1000, SURROUNDINGS = 250, CHANGES = 120;
const query = new URLSearchParams(location.search);

class App {
  constructor(root) {
    this.root = root;
    this.region = document.getElementById("live");
    this.announcer = new Announcer(this.region);
    this.link = { up: false, generation: 0, since: 0, lostAt: 0 };
    this.login = beginLogin(query);
    this.shown = { filter: "every", search: "", sort: "id", group: "none", view: "cards" };
    this.wall = new Wall((id) => this.open(id));
    this.key = null;
    this.dialog = null;
    this.unfolded = null;
    this.opened = null;
    this.shortcuts = true;
    this.counts = {};
    this.found = 0;
    this.dirty = false;
    this.drawnAt = this.arrangedAt = this.changedAt = -Infinity;
  }

  // --- connection
  connect({ url, user, password, prefix }) {
    remember(this.login);
    this.login.busy = true;
    this.link = { up: false, generation: 0, since: 0, lostAt: now() };
    this.fleet = new Fleet(prefix, this.link);
    this.commands = new Commands({
      fleet: this.fleet, publish: (topic, payload) => this.connection.publish(topic, payload), key: () => this.key,
      changed: (command) => this.commandChanged(command),
    });
    this.connection = new Connection({ url, user, password, prefix }, {
      message: (topic, bytes, stored) => { this.fleet.hear(topic, bytes, stored); this.schedule(); },
      up: () => this.linkUp(),
      down: (problem) => this.linkDown(problem),
      problem: (problem) => this.failed(problem),
    });
  }

  linkUp() {
    Object.assign(this.link, { up: true, generation: this.link.generation + 1, since: now() });
    this.problem = null;
    this.login.busy = false;
    this.announcer.say(language.text.say.up);
    this.fleet.sweep(now());
    this.routed();
    this.commands.askAgain();
    this.render();
  }

  linkDown(problem) {
    Object.assign(this.link, { up: false, lostAt: now() });
    this.problem = problem;
    this.announcer.say(language.text.say.lost);
    this.fleet.sweep(now());
    this.render();
  }

  // An attempt failed: at the form it ends there, so that nobody waits for a wrong password.
  failed(problem) {
    this.problem = problem;
    if (this.link.generation === 0) {
      this.connection.close();
      this.fleet = null;
      Object.assign(this.login, { busy: false, error: problemWords(problem) });
    }
    this.render();
  }

  leave() {
    this.connection.close();
    this.fleet = null;
    this.wall.clear();
    this.wall.groups = null;
    this.login.busy = false;
    this.show(null);
    this.opened = null;
    history.replaceState(null, "", `${location.pathname}${location.search}`);
    this.render();
  }

  // --- what is looked at
  arrange(change) {
    Object.assign(this.shown, change);
    this.rearrange();
    if ("filter" in change || "search" in change) this.wall.root.scrollTop = 0;
    this.render();
  }

  rearrange() {
    this.arrangedAt = performance.now();
    this.dirty = false;
    const boxes = [...this.fleet.boxes.values()];
    this.counts = counts(boxes);
    const groups = arrange(boxes, this.shown);
    this.found = groups.reduce((sum, { boxes: list }) => sum + list.length, 0);
    this.wall.arrange(groups, this.shown);
  }

  // The address tells which box is open, so that the browser's back button closes it.
  open(id) {
    location.hash = id === null ? "" : `#${id}`;
    if (id === this.opened) document.getElementById("box-title")?.focus();
  }

  routed() {
    const id = location.hash.slice(1), next = ID.test(id) ? id : null, before = this.opened;
    const kept = this.fleet?.boxes.get(before);
    if (kept) kept.open = false;
    this.opened = next;
    this.wall.open = next;
    if (!this.fleet) return;
    this.unfolded = null;
    const box = this.fleet.boxes.get(next);
    if (box) box.open = true;
    this.connection.watch(next);
    this.render();
    this.wall.place();
    if (next === before) return;
    if (next) { document.getElementById("box-title")?.focus(); this.announcer.say(language.text.say.opened(next)); }
    else if (before) this.wall.activate(before, true);
  }

  // --- commands
  command(id, verb, ask, values) {
    if (ask) { this.show("confirm", { id, verb }); return; }
    this.commands.send(id, verb, values);
  }

  commandChanged(command) {
    if (!["sending", "asked"].includes(command.status)) {
      this.announcer.say(language.text.say.command(language.text.verb[command.verb], command.box, commandWords(command)));
    }
    this.schedule();
  }

  show(name, values) {
    this.dialog = name ? { name, ...values } : null;
    this.render();
    const dialog = this.root.querySelector("dialog");
    if (dialog && !dialog.open) dialog.showModal();
  }

  // --- drawing
  relabel() {
    this.wall.clear();
    if (this.fleet) this.rearrange();
    this.render();
  }

  // One drawing for whatever came since the last one.
  schedule() {
    if (this.scheduled) return;
    this.scheduled = true;
    setTimeout(() => requestAnimationFrame(() => { this.scheduled = false; this.draw(); }), Math.max(0, this.changedAt + CHANGES - performance.now()));
  }

  draw() {
    if (!this.fleet) return;
    const changed = this.fleet.takeChanged(), at = performance.now();
    this.changedAt = at;
    this.dirty ||= changed.size > 0;
    if (this.dirty && at - this.arrangedAt >= ARRANGE && !(this.wall.isTouched && this.found > 0)) this.rearrange();
    else this.wall.update(changed, now());
    if (at - this.drawnAt >= SURROUNDINGS) this.render();
  }

  render() {
    this.drawnAt = performance.now();
    render(this.fleet && this.link.generation > 0 ? this.page() : html`<header class="language-corner">${languageView(this)}</header>${loginView(this)}`, this.root);
    const box = this.fleet?.boxes.get(this.opened);
    if (box) drawPlots(this.root, box);
  }

  page() {
    const views = { confirm: confirmView, key: keyView, help: helpView };
    return html`<a class="skip" href="#wall" @click=${(event) => { event.preventDefault(); this.wall.activate(this.wall.active, true); }}>${language.text.skip}</a>
      ${headerView(this)}
      ${bannerView(this)}
      ${toolbarView(this)}
      <main data-panel=${this.opened !== null} data-link=${this.link.up}>
        <div class="stage">${this.wall.root}${emptyView(this)}</div>
        ${this.opened === null ? nothing : panelView(this)}
      </main>
      ${this.dialog ? views[this.dialog.name](this) : nothing}`;
  }

  // Each second: what time alone changes.
  tick() {
    if (!this.fleet || this.link.generation === 0) return;
    this.fleet.sweep(now());
    this.announcer.tally(this.fleet.takeTally());
    this.wall.update(null, now());
    this.draw();
    this.render();
  }

  // --- keys
  pressed(event) {
    if (event.key === "Escape" && !this.dialog && this.opened !== null) { this.open(null); return; }
    const typing = event.target.closest("input, select, textarea, [contenteditable]");
    if (!this.fleet || this.dialog || typing || !this.shortcuts || event.ctrlKey || event.metaKey || event.altKey) return;
    const after = (values, value) => values[(values.indexOf(value) + 1) % values.length];
    const acts = {
      "/": () => document.getElementById("search")?.focus(),
      "?": () => this.show("help"),
      v: () => this.arrange({ view: after(VIEWS, this.shown.view) }),
      g: () => this.arrange({ group: after(GROUPS, this.shown.group) }),
    };
    if (Object.hasOwn(acts, event.key)) { event.preventDefault(); acts[event.key](); }
  }
}

language.begin(query.get("lang"));
const app = new App(document.getElementById("app"));
app.key = await keys.kept();
beginLamps(document.documentElement);
addEventListener("hashchange", () => app.routed());
addEventListener("keydown", (event) => app.pressed(event));
document.addEventListener("visibilitychange", () => document.hidden || app.schedule());
setInterval(() => app.tick(), 1000);
app.routed();
app.render();
