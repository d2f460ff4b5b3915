// The wall: a grid of all boxes, of which only the rows in sight exist. Arrow keys move in it.
import { now } from "../clock.js";
import { text, format } from "../language.js";
import { makeCell, showCell } from "./cell.js";
import { groupTitle } from "./order.js";

// Sizes in CSS pixels; `width` is the least of a cell.
const SIZES = {
  cards: { width: 218, height: 138, gap: 10 },
  list: { width: Infinity, height: 44, gap: 2 },
  lamps: { width: 30, height: 30, gap: 4 },
};
const TITLE = 40, EDGE = 12, AHEAD = 200;
const coarse = matchMedia("(pointer: coarse)");

function element(name, role, parent) {
  const made = document.createElement("div");
  made.className = name;
  if (role) made.setAttribute("role", role);
  parent?.append(made);
  return made;
}

export class Wall {
  constructor(onOpen) {
    this.root = element("wall", "grid");
    this.root.id = "wall";
    this.space = element("space", "presentation", this.root);
    this.view = "cards";
    this.lines = [];
    this.places = new Map();
    this.shown = new Map();
    // Rows that left the sight, for those that come into it.
    this.spare = [];
    this.active = null;
    this.touchedAt = -Infinity;
    this.root.addEventListener("scroll", () => this.draw(now(), false), { passive: true });
    this.root.addEventListener("pointermove", () => { this.touchedAt = performance.now(); }, { passive: true });
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.root.addEventListener("click", (event) => {
      const id = event.target.closest("[data-id]")?.dataset.id;
      if (id) { this.activate(id, true); onOpen(id); }
    });
    this.onOpen = onOpen;
    new ResizeObserver(() => this.place()).observe(this.root);
  }

  // Somebody points at a box just now: it must not move away under the finger.
  get isTouched() { return performance.now() - this.touchedAt < 1500; }

  size() {
    const size = SIZES[this.view];
    return this.view === "lamps" && coarse.matches ? { width: 44, height: 44, gap: 4 } : size;
  }

  arrange(groups, { view, group }) {
    if (view !== this.view) this.clear();
    Object.assign(this, { groups, view, group });
    this.root.dataset.view = view;
    this.place();
  }

  // Lines from top to bottom: titles of groups, and rows of boxes.
  place() {
    if (!this.groups) return;
    const { width, height, gap } = this.size(), room = this.root.clientWidth - 2 * EDGE;
    const columns = Math.max(1, Math.floor((room + gap) / (width + gap)));
    this.columns = columns;
    this.lines = [];
    this.places.clear();
    let top = EDGE;
    for (const { name, boxes } of this.groups) {
      if (this.group !== "none") {
        this.lines.push({ top, height: TITLE, title: groupTitle(this.group, name), count: boxes.length, level: name });
        top += TITLE;
      }
      for (let i = 0; i < boxes.length; i += columns) {
        const row = boxes.slice(i, i + columns);
        row.forEach((box, column) => this.places.set(box.id, [this.lines.length, column]));
        this.lines.push({ top, height, boxes: row });
        top += height + gap;
      }
    }
    this.space.style.height = `${top + EDGE}px`;
    this.root.style.setProperty("--columns", columns);
    this.root.style.setProperty("--cell-height", `${height}px`);
    this.root.setAttribute("aria-rowcount", this.lines.length);
    this.root.setAttribute("aria-colcount", columns);
    this.root.setAttribute("aria-label", text.wall.name);
    if (!this.places.has(this.active)) this.active = this.lines.find((line) => line.boxes)?.boxes[0].id ?? null;
    const focused = this.root.contains(document.activeElement);
    this.draw(now());
    // The box moved, not the person who looks at it.
    if (focused) this.element(this.active)?.focus({ preventScroll: true });
  }

  lineAt(y) {
    let low = 0, high = this.lines.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.lines[middle].top + this.lines[middle].height < y) low = middle + 1; else high = middle;
    }
    return low;
  }

  // Makes what is in sight exist, and nothing else; the line with the focus stays, or the focus would be lost. `all`:
  // also those that are in sight already are filled anew.
  draw(now, all = true) {
    const top = this.root.scrollTop, wanted = new Set();
    for (let i = this.lineAt(top - AHEAD); i < this.lines.length && this.lines[i].top < top + this.root.clientHeight + AHEAD; i++) wanted.add(i);
    const kept = this.places.get(this.active);
    if (kept) wanted.add(kept[0]);
    for (const [index, row] of this.shown) {
      const line = this.lines[index];
      if (wanted.has(index) && Boolean(line.boxes) === Boolean(row.cells)) continue;
      this.shown.delete(index);
      if (row.cells) this.spare.push(row); else row.root.remove();
    }
    for (const index of [...wanted].sort((a, b) => a - b)) if (all || !this.shown.has(index)) this.drawLine(index, now);
    for (const row of this.spare.splice(0)) row.root.remove();
  }

  drawLine(index, now) {
    const line = this.lines[index];
    let row = this.shown.get(index);
    if (!row) {
      row = (line.boxes && this.spare.pop()) || { root: element(line.boxes ? "row" : "row title", "row"), cells: line.boxes ? [] : null };
      // In the order of the lines: that is the order in which they are read out.
      const after = [...this.shown.keys()].filter((each) => each > index);
      this.space.insertBefore(row.root, after.length ? this.shown.get(Math.min(...after)).root : null);
      this.shown.set(index, row);
    }
    row.root.style.transform = `translateY(${line.top}px)`;
    row.root.setAttribute("aria-rowindex", index + 1);
    if (!line.boxes) { this.drawTitle(row.root, line); return; }
    while (row.cells.length > line.boxes.length) row.cells.pop().root.remove();
    line.boxes.forEach((box, column) => {
      if (!row.cells[column]) {
        row.cells[column] = makeCell(this.view);
        row.cells[column].root.setAttribute("aria-colindex", column + 1);
        row.root.append(row.cells[column].root);
      }
      const cell = row.cells[column];
      showCell(cell, box, now);
      const stop = box.id === this.active ? 0 : -1;
      if (cell.root.tabIndex !== stop) cell.root.tabIndex = stop;
      cell.root.toggleAttribute("data-open", box.id === this.open);
    });
  }

  drawTitle(root, line) {
    root.dataset.level = line.level;
    const words = `${line.title} · ${format.number(line.count)}`;
    if (root.textContent === words) return;
    const cell = element("", "rowheader");
    cell.setAttribute("aria-colspan", this.columns);
    cell.textContent = words;
    root.replaceChildren(cell);
  }

  // Shows what changed, of what is in sight.
  update(changed, now) {
    for (const row of this.shown.values()) {
      for (const cell of row.cells ?? []) if (changed === null || changed.has(cell.box)) showCell(cell, cell.box, now);
    }
  }

  clear() {
    for (const row of this.shown.values()) row.root.remove();
    this.shown.clear();
  }

  element(id) {
    const place = this.places.get(id);
    return place && this.shown.get(place[0])?.cells?.[place[1]]?.root;
  }

  activate(id, focus) {
    const before = this.element(this.active);
    if (before) before.tabIndex = -1;
    this.active = id;
    const place = this.places.get(id);
    if (!place) return;
    this.scrollTo(this.lines[place[0]]);
    this.draw(now());
    const cell = this.element(id);
    if (cell) { cell.tabIndex = 0; if (focus) cell.focus({ preventScroll: true }); }
  }

  scrollTo({ top, height }) {
    const first = this.root.scrollTop, last = first + this.root.clientHeight;
    if (top - EDGE < first) this.root.scrollTop = top - EDGE - (this.group === "none" ? 0 : TITLE);
    else if (top + height + EDGE > last) this.root.scrollTop = top + height + EDGE - this.root.clientHeight;
  }

  key(event) {
    const place = this.places.get(this.active);
    if (!place || event.ctrlKey || event.metaKey || event.altKey) return;
    const [index, column] = place, page = Math.max(1, Math.floor(this.root.clientHeight / (this.size().height + this.size().gap)) - 1);
    const ids = () => [...this.places.keys()];
    const beside = (step) => { const all = ids(); return all[all.indexOf(this.active) + step]; };
    const moves = {
      ArrowRight: () => beside(1), ArrowLeft: () => beside(-1), Home: () => ids()[0], End: () => ids().at(-1),
      ArrowDown: () => this.below(index, column, 1), ArrowUp: () => this.below(index, column, -1),
      PageDown: () => this.below(index, column, page), PageUp: () => this.below(index, column, -page),
    };
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.onOpen(this.active); return; }
    if (!Object.hasOwn(moves, event.key)) return;
    event.preventDefault();
    const id = moves[event.key]();
    if (id) this.activate(id, true);
  }

  // The box some rows below or above, or the last one on the way.
  below(index, column, rows) {
    let found = null;
    for (let i = index + Math.sign(rows), left = Math.abs(rows); left > 0 && this.lines[i]; i += Math.sign(rows)) {
      if (this.lines[i].boxes) { found = this.lines[i].boxes; left -= 1; }
    }
    return found?.[Math.min(column, found.length - 1)].id;
  }
}
