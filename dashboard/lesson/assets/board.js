// A row of small matrices with their numbers in the cells; a press, a drag or the keyboard changes them.

import { asking } from "./asked.js";
import { h, say, whenGone } from "../kit/dom.js";
import { firstDrawn } from "../kit/timing.js";
import { outlinePath } from "./edges.js";

const boards = new WeakMap();
const SVG = "http://www.w3.org/2000/svg";

export default function board({ data, parentElement, setTriggerValue }) {
  let view = boards.get(parentElement);
  if (!view) {
    view = { element: h("div", { class: "sm3 sm3-board" }), panels: new Map() };
    boards.set(parentElement, view);
    parentElement.append(view.element);
  }
  view.element.dataset.teacher = String(data.teacher);
  view.element.dataset.count = String(data.grids.length);
  view.element.dataset.compact = String(data.compact);
  view.element.dataset.above = String(data.grids.some(({ columns }) => columns.length));
  const kept = new Set(data.grids.map(({ name }) => name));
  for (const [name, panel] of view.panels) {
    if (!kept.has(name)) {
      panel.element.remove();
      view.panels.delete(name);
    }
  }
  data.grids.forEach((grid, i) => {
    const size = grid.shape.join("x");
    let panel = view.panels.get(grid.name);
    if (panel && panel.size !== size) {
      panel.element.remove();
      panel = null;
    }
    panel ??= new Panel(grid.shape, size);
    view.panels.set(grid.name, panel);
    if (view.element.children[i] !== panel.element) view.element.insertBefore(panel.element, view.element.children[i] ?? null);
    panel.ask = (change) => setTriggerValue("go", asking(change));
    panel.draw(grid);
  });
  firstDrawn("board");
  return whenGone(parentElement, () => {
    view.element.remove();
    boards.delete(parentElement);
  });
}

class Panel {
  constructor([rows, columns], size) {
    this.size = size;
    this.rows = rows;
    this.columns = columns;
    this.title = h("h2", {});
    this.cells = Array.from({ length: rows * columns }, (_, i) => this.#cell(i));
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${columns} ${rows}`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("aria-hidden", "true");
    const lines = Array.from({ length: rows }, (_, i) =>
      h("div", { role: "row", class: "sm3-cellrow" }, ...this.cells.slice(i * columns, (i + 1) * columns)));
    this.grid = h("div", { class: "sm3-cells", role: "grid" }, ...lines, this.svg);
    this.grid.addEventListener("keydown", (event) => this.#key(event));
    this.grid.addEventListener("pointerdown", (event) => this.#down(event));
    this.grid.addEventListener("pointerover", (event) => this.#over(event));
    this.above = h("div", { class: "sm3-above" });
    this.beside = h("div", { class: "sm3-beside" });
    this.chips = h("div", { class: "sm3-setchips" });
    this.note = h("p", { class: "sm3-about" });
    this.body = h("div", { class: "sm3-gridbody" }, h("span", {}), this.above, this.beside, this.grid);
    this.element = h("section", { class: "sm3-card sm3-gridcard", style: { "--rows": rows, "--columns": columns } }, h("div", { class: "sm3-cardhead" }, this.title), this.body, this.chips, this.note);
    this.element.style.setProperty("--rows", rows);
    this.element.style.setProperty("--columns", columns);
  }

  /** Shows a grid as Python describes it; see `dashboard.lessons.scene.Grid`. */
  draw(grid) {
    this.data = grid;
    this.element.dataset.grid = grid.name;
    say(this.title, grid.title);
    say(this.note, grid.note || " ");
    this.grid.setAttribute("aria-label", grid.title);
    this.grid.dataset.drags = String(Boolean(grid.edit) && grid.edit.kind !== "pick");
    const focus = this.grid.contains(document.activeElement) ? this.cells.indexOf(document.activeElement) : (grid.selected ?? 0);
    this.cells.forEach((cell, i) => this.#fill(cell, i, focus));
    this.svg.replaceChildren(...grid.outlines.map((outline, k) => this.#outline(outline, k)));
    this.body.dataset.rows = String(grid.rows.length > 0);
    this.body.dataset.columns = String(grid.columns.length > 0);
    this.above.replaceChildren(...grid.columns.map((margin, j) => this.#margin(margin, `column ${j + 1}`)));
    this.beside.replaceChildren(...grid.rows.map((margin, i) => this.#margin(margin, `row ${i + 1}`)));
    this.chips.replaceChildren(...grid.chips.map(([name, margin]) => h("span", { class: "sm3-setchip", ...state(margin) }, `${name} `, h("b", {}, margin.text))));
    this.chips.hidden = !grid.chips.length;
  }

  #cell(i) {
    return h("button", { type: "button", class: "sm3-cell", role: "gridcell", tabIndex: -1, dataset: { cell: String(i) } }, h("span", {}), h("i", { "aria-hidden": "true" }));
  }

  #fill(cell, i, focus) {
    const { texts, shades, selected, marks, edit } = this.data;
    const [row, column] = [Math.floor(i / this.columns) + 1, (i % this.columns) + 1];
    say(cell.firstChild, texts[i]);
    say(cell.lastChild, marks[i] ?? "");
    cell.tabIndex = i === focus ? 0 : -1;
    cell.style.setProperty("--shade", String(Math.round(100 * (shades[i] ?? 0) * 0.45)) + "%");
    cell.dataset.selected = String(i === selected);
    cell.dataset.hidden = String(texts[i] === "?");
    cell.setAttribute("aria-selected", String(i === selected));
    cell.setAttribute("aria-label", `row ${row}, column ${column}: ${texts[i] === "?" ? "not shown yet" : texts[i]}${marks[i] ? ` ${marks[i]}` : ""}`);
    cell.title = edit?.hint ?? "";
    cell.setAttribute("aria-disabled", String(!edit));
  }

  #outline({ cells, label, decides }, k) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", outlinePath(cells, this.rows, this.columns, 0.03 + 0.05 * (k % 3)));
    path.setAttribute("class", "sm3-outline");
    path.dataset.decides = String(decides);
    path.dataset.label = label;
    return path;
  }

  #margin(margin, name) {
    return h("span", { class: "sm3-margin", "aria-label": `${name}: ${margin.text}${margin.decides ? ", decides" : ""}`, ...state(margin) }, margin.text);
  }

  // What a press does: 'pick' names the cell; 'digit' and 'bit' change one character of the input's text.

  #down(event) {
    const i = cellOf(event);
    const { edit } = this.data;
    if (i === null || !edit) return;
    if (edit.kind === "pick") return this.ask({ [edit.name]: String(i) });
    event.preventDefault();
    this.cells[i].focus();
    this.text = [...edit.text];
    this.stroke = this.#next(i);
    this.#put(i, this.stroke);
    const up = () => {
      document.removeEventListener("pointerup", up);
      this.stroke = null;
      this.ask({ [edit.name]: this.text.join("") });
    };
    document.addEventListener("pointerup", up);
  }

  #over(event) {
    const i = cellOf(event);
    if (i !== null && this.stroke !== null && this.stroke !== undefined) this.#put(i, this.stroke);
  }

  /** Returns what a stroke that begins at cell `i` puts into cells: a character, or whether the bit is set. */
  #next(i) {
    const { kind, alphabet, bit } = this.data.edit;
    const at = alphabet.indexOf(this.text[i]);
    return kind === "bit" ? !(at & bit) : alphabet[(at + 1) % alphabet.length];
  }

  #put(i, stroke) {
    const { kind, alphabet, bit } = this.data.edit;
    const at = alphabet.indexOf(this.text[i]);
    this.text[i] = kind === "bit" ? alphabet[stroke ? at | bit : at & ~bit] : stroke;
    if (kind === "digit") say(this.cells[i].firstChild, stroke);
    else this.cells[i].dataset.painted = String(stroke);
  }

  #key(event) {
    const i = cellOf(event);
    if (i === null) return;
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key];
    const { edit } = this.data;
    if (move) {
      const next = i + move;
      const wraps = Math.abs(move) === 1 && Math.floor(next / this.columns) !== Math.floor(i / this.columns);
      if (next >= 0 && next < this.cells.length && !wraps) {
        this.cells[i].tabIndex = -1;
        this.cells[next].tabIndex = 0;
        this.cells[next].focus();
      }
    } else if (edit && (event.key === "Enter" || event.key === " ")) {
      if (edit.kind === "pick") this.ask({ [edit.name]: String(i) });
      else this.#change(i, null);
    } else if (edit?.kind === "digit" && /^\d$/.test(event.key)) {
      this.#change(i, event.key);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #change(i, value) {
    this.text = [...this.data.edit.text];
    this.#put(i, value ?? this.#next(i));
    this.ask({ [this.data.edit.name]: this.text.join("") });
  }
}

const state = ({ holds, decides }) => ({ "data-holds": String(holds), "data-decides": String(decides) });

function cellOf(event) {
  const cell = event.target instanceof Element ? event.target.closest(".sm3-cell") : null;
  return cell ? Number(cell.dataset.cell) : null;
}
