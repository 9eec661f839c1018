// One chart over steps: a heading that reads off values, the chart or its numbers, and a crosshair shared with its
// neighbours.

import { read, write } from "./address.js";
import { usualSpan } from "./curves.js";
import { marksOf } from "./marks.js";
import { SPANS } from "./store.js";
import { axisOf, followSize, OPTIONS, positionIn } from "../kit/axes.js";
import { h, say } from "../kit/dom.js";
import { ChartMenu } from "../kit/menu.js";
import { Sheet } from "../kit/sheet.js";
import { firstDrawn } from "../kit/timing.js";
import { count } from "../kit/words.js";

export class TimePanel {
  /**
   * `chart` is one of `CHARTS`: its `figure(store, theme, options)` makes the picture, its `read(store, at, options)`
   * the keys of its heading as [{look, text}], `at(series)` being the index to read. `pointed(step|null)` is told
   * where the mouse is, `changed()` when it has to be drawn anew.
   */
  constructor(chart, { pointed, changed }) {
    Object.assign(this, { chart, changed });
    const { name, title } = chart;
    this.Plotly = null; // set once it is loaded, before the first draw
    this.step = null;
    this.where = h("span", { class: "sm3-about" });
    this.keys = h("div", { class: "sm3-keys" });
    this.plot = h("div", { class: `sm3-plot sm3-${name}`, role: "img", "aria-label": title });
    this.cross = h("div", { class: "sm3-cross sm3-cross-x", hidden: true });
    this.hint = h("p", { class: "sm3-hint" }, "Loading…");
    this.sheet = new Sheet();
    this.scale = h("button", { type: "button", class: "sm3-chip sm3-scale", onclick: () => this.#flip() });
    this.smoothing = chart.smooths ? this.#smoothing() : null;
    this.menu = new ChartMenu({
      name: () => `${name}${this.options?.tensor && !chart.smooths ? `-${this.options.tensor}` : ""}-${this.options?.job ?? ""}`,
      table: () => this.#table(),
      picture: () => this.drawn && { Plotly: this.Plotly, plot: this.plot, title, theme: this.theme },
      toggled: () => this.changed(),
    });
    const head = [h("h2", { title: chart.about }, title), h("span", { class: "sm3-space" }), this.smoothing, this.scale, this.menu.element];
    this.stage = h("div", { class: "sm3-stage" }, this.plot, this.cross, this.hint);
    this.element = h("section", { class: "sm3-card sm3-timecard" }, h("div", { class: "sm3-cardhead" }, ...head), h("div", { class: "sm3-keyrow" }, this.keys, this.where), this.stage);
    this.plot.addEventListener("mousemove", (event) => {
      const x = axisOf(this.plot, "xaxis");
      if (!x) return;
      const pixel = positionIn(this.plot, event).x;
      pointed(pixel >= x.start && pixel <= x.start + x.length ? x.value(pixel) : null);
    });
    this.plot.addEventListener("mouseleave", () => pointed(null));
    followSize(this, () => this.point(this.step));
    this.readAddress();
  }

  /** Takes scale and smoothing from the page's address. */
  readAddress() {
    const { name, log } = this.chart;
    this.log = log !== read("flip").split(",").includes(name);
    const span = read("smooth");
    this.span = span === "none" ? 0 : SPANS.includes(Number(span)) ? Number(span) : null;
    if (this.smoothing) this.smoothing.value = this.span === null ? "auto" : String(this.span);
    this.#sayScale();
  }

  /** Draws the store's series; `options` are {revision, steps, tensor, job, events}. */
  draw(store, theme, options) {
    this.theme = theme;
    this.store = store;
    const span = this.span ?? usualSpan(store.get("loss").total);
    this.options = { ...options, span, log: this.log, revision: `${options.revision}/${this.log}` };
    const { data, layout } = this.chart.figure(store, theme, this.options);
    this.data = data;
    const isEmpty = data.every((trace) => trace.x.length === 0);
    this.hint.hidden = !isEmpty || this.menu.shown;
    say(this.hint, options.isLoading ? "Loading…" : "Nothing recorded yet");
    this.#showTable();
    // Axes alone are not worth a third of a second before the numbers come.
    if (!this.menu.shown && (!isEmpty || this.drawn)) {
      this.plot.style.visibility = isEmpty ? "hidden" : "";
      const { shapes, annotations } = marksOf(options.events, theme, options.steps);
      this.Plotly.react(this.plot, data, { ...layout, shapes, annotations: [...(layout.annotations ?? []), ...annotations] }, OPTIONS);
      this.drawn = true;
      if (!options.isLoading) firstDrawn(this.chart.name);
    }
    this.point(this.step);
  }

  /** Moves the crosshair to `step`, or takes it away and reads off the newest values. */
  point(step) {
    this.step = step;
    if (!this.store) return;
    const at = (series) => (step === null ? series.length - 1 : series.nearest(step));
    this.#sayKeys(this.chart.read(this.store, at, this.options));
    this.#sayWhere(step);
    const x = axisOf(this.plot, "xaxis");
    const y = axisOf(this.plot, "yaxis");
    this.cross.hidden = step === null || !x || this.menu.shown;
    if (this.cross.hidden) return;
    const px = x.pixel(step);
    this.cross.hidden = px < x.start || px > x.start + x.length;
    Object.assign(this.cross.style, { left: `${px}px`, top: `${y.start}px`, height: `${y.length}px` });
  }

  /** Says the step that is read off, or that the curve is drawn from fewer points than there were. */
  #sayWhere(step) {
    const [name] = this.chart.series(this.options.tensor);
    const series = this.store.get(name);
    const drawn = Math.max(0, ...this.data.map(({ x }) => x.length));
    const isThinned = drawn < series.total;
    this.where.title = isThinned
      ? `Downsampled: ${count(drawn)} of ${count(series.total)} points are drawn, with the lowest and the highest of each stretch (MinMax-LTTB, then min-max), so that no spike is lost. Smoothed curves are averages over every point.`
      : "Every point is drawn.";
    say(this.where, step !== null ? `step ${count(Math.round(step))}` : isThinned ? `${compact(drawn)} of ${compact(series.total)} pts` : "");
  }

  #sayKeys(keys) {
    while (this.keys.children.length < keys.length) {
      this.keys.append(h("span", { class: "sm3-key" }, h("i", { class: "sm3-mark" }), h("span")));
    }
    while (this.keys.children.length > keys.length) this.keys.lastElementChild.remove();
    keys.forEach(({ look, text }, i) => {
      const [mark, words] = this.keys.children[i].children;
      if (mark.dataset.look !== look) mark.dataset.look = look;
      say(words, text);
    });
    const scale = this.log ? "log scale" : "linear scale";
    this.plot.setAttribute("aria-label", `${this.chart.title}, ${scale}, by step. ${keys.map(({ text }) => text).join(", ")}.`);
  }

  #smoothing() {
    const choices = [["auto", "smooth auto"], ["0", "raw"], ...SPANS.map((span) => [String(span), `smooth ${count(span)}`])];
    const select = h(
      "select",
      { class: "sm3-select sm3-small", "aria-label": "Smoothing: points that the average reaches over", title: "An exponential moving average over about so many points, of every point there is, taken before any are left out for drawing" },
      ...choices.map(([value, text]) => h("option", { value }, text)),
    );
    select.onchange = () => {
      write({ smooth: { auto: null, 0: "none" }[select.value] ?? (select.value === "auto" ? null : select.value) });
      this.readAddress();
      this.changed();
    };
    return select;
  }

  #flip() {
    const flipped = new Set(read("flip").split(",").filter(Boolean));
    if (!flipped.delete(this.chart.name)) flipped.add(this.chart.name);
    write({ flip: [...flipped].join(",") });
    this.readAddress();
    this.changed();
  }

  #sayScale() {
    say(this.scale, this.log ? "log" : "linear");
    this.scale.setAttribute("aria-label", `Scale of ${this.chart.title}: ${this.log ? "logarithmic" : "linear"}; press for ${this.log ? "linear" : "logarithmic"}`);
    this.scale.title = this.log ? "Logarithmic scale; press for a linear one" : "Linear scale; press for a logarithmic one";
  }

  #showTable() {
    const { shown } = this.menu;
    if (shown !== this.showsTable) {
      this.showsTable = shown;
      this.stage.replaceChildren(...(shown ? [this.sheet.element] : [this.plot, this.cross, this.hint]));
    }
    if (shown) this.sheet.draw(this.#table());
  }

  /** Returns what is drawn as a table: a row a step, newest first, a column a curve. */
  #table() {
    const curves = (this.data ?? []).filter(({ x }) => x.length);
    const rows = new Map();
    curves.forEach(({ x, y }, k) => x.forEach((step, i) => {
      if (!rows.has(step)) rows.set(step, new Array(curves.length).fill(null));
      rows.get(step)[k] = y[i];
    }));
    return {
      columns: [{ name: "step", kind: "integer" }, ...curves.map(({ name }) => ({ name, kind: "number" }))],
      rows: [...rows].sort((a, b) => b[0] - a[0]).map(([step, values]) => [step, ...values]),
    };
  }
}

const compact = (n) => (n >= 1e6 ? `${(n / 1e6).toFixed(1)} M` : n >= 1e4 ? `${Math.round(n / 1e3)}k` : n >= 1e3 ? `${(n / 1e3).toFixed(1)}k` : String(n));
