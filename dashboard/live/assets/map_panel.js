// The map of nu: heatmap, both profiles, crosshair and the sentence that says which set decides.

import { accumulatorMap, cell, decades } from "./accumulators.js";
import { axisOf, followSize, OPTIONS, positionIn } from "../kit/axes.js";
import { h, say } from "../kit/dom.js";
import { mapFigure } from "./figures.js";
import { bytes, cellSentence, mapTitle, percent, power, shape } from "../kit/words.js";

const INVITATION = "Point at a cell to see which set decides it. Drag to zoom, double-click to see all.";

export class MapPanel {
  constructor() {
    this.Plotly = null; // set once it is loaded, before the first draw
    this.map = null;
    this.tensorName = null;
    this.range = null;
    this.locked = false;
    this.at = null; // the cell under the crosshair, as indices into the tensor
    this.title = h("h2", {}, "ν");
    this.about = h("span", { class: "sm3-about" });
    this.scale = h("span", { class: "sm3-about" });
    this.lock = h("button", { type: "button", class: "sm3-chip", onclick: () => this.#toggleLock() }, "auto");
    this.plot = h("div", { class: "sm3-plot sm3-map", tabIndex: 0, role: "img", "aria-label": "Accumulators" });
    this.hatch = h("div", { class: "sm3-hatch", hidden: true });
    this.cross = ["x", "y"].map((way) => h("div", { class: `sm3-cross sm3-cross-${way}`, hidden: true }));
    this.readout = h("p", { class: "sm3-readout" }, INVITATION);
    this.empty = h("p", { class: "sm3-hint" }, "Loading…");
    this.zeros = h("span", { class: "sm3-about" }, "zero");
    const key = h("span", { class: "sm3-key" }, h("i", { class: "sm3-swatch" }), this.zeros);
    this.element = h(
      "section",
      { class: "sm3-card sm3-mapcard sm3-nomap" },
      h("div", { class: "sm3-cardhead" }, this.title, this.about, h("span", { class: "sm3-space" }), key, this.scale, this.lock),
      h("div", { class: "sm3-stage" }, this.hatch, this.plot, ...this.cross, this.empty),
      this.readout,
    );
    this.plot.addEventListener("mousemove", (event) => this.#point(positionIn(this.plot, event)));
    this.plot.addEventListener("mouseleave", () => this.#leave());
    this.plot.addEventListener("keydown", (event) => this.#key(event));
    followSize(this, () => this.#place());
    this.#sayLock();
  }

  /** Draws `tensor` as the frame has it. `revision` changes when zoom is to be forgotten. */
  draw(tensor, frame, theme, revision) {
    if (tensor.name !== this.tensorName) {
      this.tensorName = tensor.name;
      this.range = null;
      this.at = null;
    }
    this.map = frame ? accumulatorMap(tensor, frame) : null;
    this.#sayTensor(tensor);
    this.empty.hidden = this.map !== null;
    this.element.classList.toggle("sm3-nomap", this.map === null);
    if (!this.map) {
      say(this.empty, frame ? "The optimizer has no cover for this tensor, or its accumulators are not recorded." : "Waiting for the first frame…");
      return;
    }
    if (!this.locked || !this.range) this.range = decades(this.map, this.range);
    const figure = mapFigure(this.map, theme, { revision: `${revision}/${tensor.name}`, range: this.range });
    this.Plotly.react(this.plot, figure.data, figure.layout, OPTIONS);
    if (!this.follows) {
      this.follows = true;
      this.plot.on("plotly_relayout", () => this.#place());
    }
    this.#place();
    this.#describe(tensor, frame);
  }

  #sayTensor(tensor) {
    const kind = tensor.cover || "no cover";
    say(this.title, mapTitle(this.map));
    say(this.about, `${tensor.name} · ${shape(tensor.shape)} · ${kind} · ${bytes(tensor.accumulator_bytes)}`);
    say(this.zeros, this.map ? `zero: ${percent(this.map.zeros)} of the ${this.map.grid ? "cells" : "sets"}` : "zero");
  }

  #describe(tensor, frame) {
    const { rank1, low, high, zeros } = this.map;
    const kind = rank1 ? "Bars" : "Heatmap with row and column profiles";
    this.plot.setAttribute(
      "aria-label",
      `${kind} of the accumulators of ${tensor.name} at step ${frame.step}: nu from ${power(Math.floor(low))} to ${power(Math.ceil(high))}, ${percent(zeros)} of the sets at zero.`,
    );
    say(this.scale, `${power(this.range[0])} … ${power(this.range[1])}`);
  }

  #toggleLock() {
    this.locked = !this.locked;
    if (!this.locked) this.range = null;
    this.#sayLock();
    this.onRange?.();
  }

  #sayLock() {
    say(this.lock, this.locked ? "range locked" : "range auto");
    this.lock.setAttribute("aria-pressed", String(this.locked));
    this.lock.title = this.locked ? "Let the colours follow the data" : "Keep these colours. Without, the range widens by whole decades as the data grows";
  }

  #point({ x, y }) {
    if (!this.map) return;
    const [xa, ya] = [axisOf(this.plot, "xaxis"), axisOf(this.plot, "yaxis")];
    const inside = (axis, pixel) => pixel >= axis.start && pixel <= axis.start + axis.length;
    const column = inside(xa, x) ? Math.floor(xa.value(x)) : null;
    const row = this.map.rank1 ? 0 : inside(ya, y) ? Math.floor(ya.value(y)) : null;
    if (column === null && row === null) return this.#leave();
    this.at = { row: row ?? this.at?.row ?? 0, column: column ?? this.at?.column ?? 0 };
    this.#placeCross();
  }

  #key(event) {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move || !this.map) return;
    event.preventDefault();
    const at = this.at ?? { row: 0, column: 0 };
    const step = (part, value, by) => Math.max(0, Math.min(part.size - 1, value + by * Math.max(1, part.edges[1] - part.edges[0])));
    this.at = {
      row: this.map.rank1 ? 0 : step(this.map.rows, at.row, move[0]),
      column: step(this.map.columns, at.column, move[1]),
    };
    this.#placeCross();
  }

  #leave() {
    this.at = null;
    this.#placeCross();
  }

  #place() {
    this.#placeHatch();
    this.#placeCross();
  }

  #placeHatch() {
    const [x, y] = [axisOf(this.plot, "xaxis"), axisOf(this.plot, "yaxis")];
    Object.assign(this.hatch.style, { left: `${x.start}px`, top: `${y.start}px`, width: `${x.length}px`, height: `${y.length}px` });
    this.hatch.hidden = false;
  }

  #placeCross() {
    const [vertical, horizontal] = this.cross;
    const { at, map } = this;
    vertical.hidden = horizontal.hidden = !at || !map;
    if (!at || !map) return say(this.readout, INVITATION);
    const [x, y] = [axisOf(this.plot, "xaxis"), axisOf(this.plot, "yaxis")];
    const j = binOf(map.columns.edges, at.column);
    const i = map.rank1 ? 0 : binOf(map.rows.edges, at.row);
    const px = x.pixel((map.columns.edges[j] + map.columns.edges[j + 1]) / 2);
    const py = map.rank1 ? y.start + y.length / 2 : y.pixel((map.rows.edges[i] + map.rows.edges[i + 1]) / 2);
    const { height, width } = this.plot.getBoundingClientRect();
    vertical.hidden = px < x.start || px > x.start + x.length;
    horizontal.hidden = map.rank1 || py < y.start || py > y.start + y.length;
    Object.assign(vertical.style, { left: `${px}px`, top: "6px", height: `${Math.min(height, y.start + y.length) - 6}px` });
    Object.assign(horizontal.style, { top: `${py}px`, left: "64px", width: `${Math.min(width, x.start + x.length) - 64}px` });
    say(this.readout, cellSentence(map, i, j, cell(map, i, j)));
  }
}

function binOf(edges, index) {
  const width = Math.max(1, edges[1] - edges[0]);
  return Math.max(0, Math.min(edges.length - 2, Math.floor(index / width)));
}
