// The map: heatmap, both profiles, crosshair and the sentence that says which set decides.

import { axisOf, followSize, OPTIONS, positionIn } from "../kit/axes.js";
import { h, say } from "../kit/dom.js";
import { ChartMenu } from "../kit/menu.js";
import { Sheet } from "../kit/sheet.js";
import { firstDrawn } from "../kit/timing.js";
import { bytes, count, percent, shape } from "../kit/words.js";
import { difference } from "./compare_steps.js";
import { tableOf } from "./layer_table.js";
import { blankShare, layerOf, MODES } from "./layers.js";
import { mapFigure, printed } from "./map_figure.js";
import { Raster } from "./raster.js";
import { rangeOf, rangeWords } from "./scale.js";

const INVITATION = "Point at a cell to read it. Drag to zoom, double-click to see all.";
const TABLE_EVERY_MS = 1000;
const NARROW_PX = 560;

export class MapPanel {
  /** `look` is where the map looks; its controls stand around the map. */
  constructor(look) {
    this.Plotly = null; // set once it is loaded, before the first draw
    this.layer = null;
    this.shown = ""; // what the range and the crosshair are of
    this.range = null;
    this.locked = false;
    this.at = null; // the cell under the crosshair, as indices into the tensor
    this.title = h("h2", {}, "ν");
    this.about = h("span", { class: "sm3-about" });
    this.lock = h("button", { type: "button", class: "sm3-chip", onclick: () => this.#toggleLock() }, "auto");
    this.plot = h("div", { class: "sm3-plot sm3-map", tabIndex: 0, role: "img", "aria-label": "Accumulators" });
    this.hatch = h("div", { class: "sm3-hatch", hidden: true });
    this.raster = new Raster();
    this.cross = ["x", "y"].map((way) => h("div", { class: `sm3-cross sm3-cross-${way}`, hidden: true }));
    this.readout = h("p", { class: "sm3-readout" }, INVITATION);
    this.why = h("p", {}, "Loading…");
    this.how = h("p", { class: "sm3-howto" });
    this.code = h("code", { hidden: true });
    this.empty = h("div", { class: "sm3-hint" }, this.why, this.how, this.code);
    this.blank = h("span", { class: "sm3-about" }, "zero");
    this.key = h("span", { class: "sm3-key" }, h("i", { class: "sm3-swatch" }), this.blank);
    this.sheet = new Sheet();
    this.menu = new ChartMenu({
      name: () => `${this.layer?.mode ?? "map"}-${this.scene?.tensor.name}-step-${this.scene?.steps.b}`,
      table: () => (this.layer ? tableOf(this.layer) : { columns: [], rows: [] }),
      picture: () => this.figure && this.layer && { Plotly: this.Plotly, plot: this.plot, data: printed(this.figure), title: this.#caption(), theme: this.theme },
      toggled: (shown) => this.#showTable(shown),
    });
    this.stage = h("div", { class: "sm3-stage" }, ...this.#layers());
    this.element = h(
      "section",
      { class: "sm3-card sm3-mapcard sm3-nomap" },
      h("div", { class: "sm3-cardhead" }, look.modes.element, this.title, this.about, h("span", { class: "sm3-space" }), this.menu.element),
      this.stage,
      h("div", { class: "sm3-mapfoot" }, this.readout, this.key, this.lock),
      look.scrubber.element,
    );
    this.plot.addEventListener("mousemove", (event) => this.#point(positionIn(this.plot, event)));
    this.plot.addEventListener("mouseleave", () => this.#leave());
    this.plot.addEventListener("keydown", (event) => this.#key(event));
    followSize(this, () => this.#place());
    this.#sayLock();
  }

  /** Draws what `look.scene` found. `revision` changes when zoom is to be forgotten. */
  draw(scene, theme, revision) {
    const { tensor, frame } = scene;
    this.invitation = scene.problem || INVITATION;
    this.element.setAttribute("aria-busy", String(scene.isReading));
    if (scene.isReading && this.layer && this.scene?.tensor.name === tensor.name && this.scene.mode === scene.mode) return;
    this.element.dataset.mapStep = String(scene.steps.b ?? "");
    Object.assign(this, { scene, theme });
    const { layer, why, how, code } = this.#layer(scene);
    this.layer = layer ?? null;
    const shown = `${tensor.name} ${scene.mode} ${layer?.scale}`;
    if (shown !== this.shown) Object.assign(this, { shown, range: null, locked: false });
    if (tensor.name !== this.tensorName) Object.assign(this, { tensorName: tensor.name, at: null });
    this.#sayLock();
    this.#sayTensor(scene);
    this.empty.hidden = this.layer !== null;
    this.element.classList.toggle("sm3-nomap", this.layer === null);
    if (!layer) {
      if (this.menu.shown) this.#showTable(false);
      say(this.why, scene.isReading ? "Reading…" : frame ? why : "Waiting for the first frame…");
      say(this.how, (frame && !scene.isReading && how) || "");
      say(this.code, (frame && !scene.isReading && code) || "");
      this.code.hidden = !this.code.textContent;
      this.#placeCross();
      return;
    }
    if (!this.locked || !this.range) this.range = rangeOf(layer, this.range);
    this.#describe();
    if (this.menu.shown) this.#drawTable();
    else this.#drawPlot(`${revision}/${tensor.name}`);
  }

  #drawPlot(revision) {
    this.figure = mapFigure(this.layer, this.theme, { revision, range: this.range, isNarrow: this.plot.clientWidth < NARROW_PX });
    this.Plotly.react(this.plot, this.figure.data, this.figure.layout, OPTIONS);
    this.plot.cells = this.figure.cells; // for whoever looks at the page from outside
    this.raster.fill(this.figure.cells);
    firstDrawn("map");
    if (!this.follows) {
      this.follows = true;
      for (const moved of ["plotly_relayout", "plotly_relayouting"]) this.plot.on(moved, () => this.#place());
    }
    this.#place();
  }

  #layer({ tensor, mode, frame, known, other, otherKnown, steps, isReading }) {
    if (!frame?.arrays || isReading) return {};
    const b = layerOf(mode, tensor, frame, known);
    if (!other || !b.layer) return b;
    const a = layerOf(mode, tensor, other, otherKnown);
    if (!a.layer) return { why: `At step A (${count(steps.a)}): ${a.why}`, how: a.how, code: a.code };
    return { layer: difference(a.layer, b.layer, steps) };
  }

  #sayTensor({ tensor, mode }) {
    say(this.title, this.layer?.title ?? MODES.find(({ id }) => id === mode).heading);
    say(this.about, `${tensor.name} · ${shape(tensor.shape)} · ${tensor.cover || "no cover"} · ${bytes(tensor.accumulator_bytes)}`);
    this.about.title = this.about.textContent;
    if (!this.layer) return;
    say(this.blank, `${this.layer.blank}: ${percent(blankShare(this.layer))}`);
  }

  #caption() {
    const { tensor, steps, other } = this.scene;
    return `${this.layer.title} · ${tensor.name} · ${other ? `A step ${count(steps.a)}, B step ${count(steps.b)}` : `step ${count(steps.b)}`} · empty: ${this.layer.blank}`;
  }

  #describe() {
    const { layer, scene } = this;
    const kind = layer.rank1 ? "Bars" : layer.rows.values || layer.columns.values ? "Heatmap with row and column profiles" : "Heatmap";
    const steps = scene.other ? `from step ${scene.steps.a} to step ${scene.steps.b}` : `at step ${scene.steps.b}`;
    const range = rangeWords(layer, this.range);
    this.plot.setAttribute(
      "aria-label",
      `${kind}: ${layer.name ?? layer.title} of ${scene.tensor.name} ${steps}${range ? `, colours ${range}` : ""}; ${this.blank.textContent} of the cells.`,
    );
  }

  #showTable(shown) {
    this.menu.show(shown);
    this.stage.replaceChildren(...(shown ? [this.sheet.element] : this.#layers()));
    this.tableAt = -Infinity;
    if (shown) this.#drawTable();
    else this.onRange?.(); // what came meanwhile was not drawn
  }

  #drawTable() {
    clearTimeout(this.tableSoon);
    if (!this.layer || !this.menu.shown) return;
    const wait = this.tableAt + TABLE_EVERY_MS - performance.now();
    if (wait > 0) {
      this.tableSoon = setTimeout(() => this.#drawTable(), wait);
      return;
    }
    this.tableAt = performance.now();
    this.sheet.draw(tableOf(this.layer));
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
    this.lock.title = this.locked ? "Let the colours follow the data" : "Keep these colours. Without, the range widens as the data grows";
  }

  #point({ x, y }) {
    if (!this.layer) return;
    const [xa, ya] = [axisOf(this.plot, "xaxis"), axisOf(this.plot, "yaxis")];
    const inside = (axis, pixel) => pixel >= axis.start && pixel <= axis.start + axis.length;
    const column = inside(xa, x) ? Math.floor(xa.value(x)) : null;
    const row = this.layer.rank1 ? 0 : inside(ya, y) ? Math.floor(ya.value(y)) : null;
    if (column === null && row === null) return this.#leave();
    this.at = { row: row ?? this.at?.row ?? 0, column: column ?? this.at?.column ?? 0 };
    this.#placeCross();
  }

  #key(event) {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move || !this.layer) return;
    event.preventDefault();
    const at = this.at ?? { row: 0, column: 0 };
    const step = (part, value, by) => Math.max(0, Math.min(part.size - 1, value + by * Math.max(1, part.edges[1] - part.edges[0])));
    this.at = {
      row: this.layer.rank1 ? 0 : step(this.layer.rows, at.row, move[0]),
      column: step(this.layer.columns, at.column, move[1]),
    };
    this.#placeCross();
  }

  #leave() {
    this.at = null;
    this.#placeCross();
  }

  #layers() {
    return [this.hatch, this.raster.element, this.plot, ...this.cross, this.empty];
  }

  #place() {
    this.#placeCells();
    this.#placeCross();
  }

  #placeCells() {
    const [x, y] = [axisOf(this.plot, "xaxis"), axisOf(this.plot, "yaxis")];
    Object.assign(this.hatch.style, { left: `${x.start}px`, top: `${y.start}px`, width: `${x.length}px`, height: `${y.length}px` });
    this.hatch.hidden = false;
    if (this.figure) this.raster.paint(x, y);
  }

  #placeCross() {
    const [vertical, horizontal] = this.cross;
    const { at, layer } = this;
    vertical.hidden = horizontal.hidden = !at || !layer;
    if (!at || !layer) return say(this.readout, this.invitation ?? INVITATION);
    const [x, y] = [axisOf(this.plot, "xaxis"), axisOf(this.plot, "yaxis")];
    const j = binOf(layer.columns.edges, at.column);
    const i = layer.rank1 ? 0 : binOf(layer.rows.edges, at.row);
    const px = x.pixel((layer.columns.edges[j] + layer.columns.edges[j + 1]) / 2);
    const py = layer.rank1 ? y.start + y.length / 2 : y.pixel((layer.rows.edges[i] + layer.rows.edges[i + 1]) / 2);
    const { height, width } = this.plot.getBoundingClientRect();
    vertical.hidden = px < x.start || px > x.start + x.length;
    horizontal.hidden = layer.rank1 || py < y.start || py > y.start + y.length;
    Object.assign(vertical.style, { left: `${px}px`, top: "6px", height: `${Math.min(height, y.start + y.length) - 6}px` });
    Object.assign(horizontal.style, { top: `${py}px`, left: "64px", width: `${Math.min(width, x.start + x.length) - 64}px` });
    say(this.readout, layer.says(i, j));
    this.readout.title = this.readout.textContent;
  }
}

function binOf(edges, index) {
  const width = Math.max(1, edges[1] - edges[0]);
  return Math.max(0, Math.min(edges.length - 2, Math.floor(index / width)));
}
