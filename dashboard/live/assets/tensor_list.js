// The list of tensors: pick one, search by name, sort; a small curve says how each of them fares.

import { sparkline, sparkPath } from "./sparkline.js";
import { h, say } from "../kit/dom.js";
import { bytes, count, percent, reading, shape } from "../kit/words.js";

const MOST = 500; // rows; a search finds the others
const FIRST_LAST = { Home: "firstElementChild", End: "lastElementChild" };
const NEXT = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" };

const CURVES = {
  rate_p50: { label: "line: effective rate, median (log)", log: true, text: (x) => `rate ${reading(x)}` },
  zero_rows: { label: "line: active rows, 0 to 100 %", flip: true, range: [0, 1], text: (x) => `${percent(1 - x)} of rows active` },
  tightness_level: { label: "line: looseness, bits from 0", range: null, text: (x) => `${x.toFixed(1)} bits loose` },
};
const ORDERS = {
  model: { label: "model order", curve: "rate_p50" },
  bytes: { label: "state bytes", curve: "rate_p50", compare: (a, b) => stateBytes(b) - stateBytes(a) },
  tightness: { label: "loosest bound", curve: "tightness_level", by: (value) => -value },
  activity: { label: "most active rows", curve: "zero_rows", by: (value) => value },
  name: { label: "name", curve: "rate_p50", compare: (a, b) => a.name.localeCompare(b.name, "en", { numeric: true }) },
};

const stateBytes = (tensor) => tensor.accumulator_bytes + tensor.momentum_bytes;

export class TensorList {
  /** `picked(name)` is told of a press; `wanted(statistic)` of what the curves are to show. */
  constructor(picked, wanted) {
    this.picked = picked;
    this.wanted = wanted;
    this.tensors = [];
    this.selected = null;
    this.glance = null;
    this.statistic = null; // of the curves that are drawn
    this.rows = new Map();
    this.search = h("input", { type: "search", class: "sm3-search", placeholder: "find", "aria-label": "Find a tensor", oninput: () => this.#fill() });
    this.sort = h(
      "select",
      { class: "sm3-select", "aria-label": "Sort tensors by", onchange: () => this.#sorted() },
      ...Object.entries(ORDERS).map(([value, { label }]) => h("option", { value }, label)),
    );
    this.heading = h("h2", {}, "Tensors");
    this.about = h("p", { class: "sm3-about" });
    this.list = h("div", { class: "sm3-tensors", role: "listbox", "aria-label": "Tensors" });
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.element = h("aside", { class: "sm3-card sm3-rail" }, h("div", { class: "sm3-cardhead" }, this.heading, h("span", { class: "sm3-space" }), this.sort), this.search, this.about, this.list);
  }

  /** The statistic that the order asks for. */
  get wants() {
    return ORDERS[this.sort.value].curve;
  }

  /** Shows `tensors` with `selected` marked; rebuilt only when they differ. Curves come from `glance`. */
  draw(tensors, selected, glance) {
    this.glance = glance;
    // An order by a statistic is made when its numbers come, and kept: rows must not move under the pointer.
    const came = glance.statistic !== this.statistic;
    this.statistic = glance.statistic;
    if (tensors !== this.tensors || came) {
      this.tensors = tensors;
      this.#fill();
    }
    if (selected !== this.selected) {
      this.selected = selected;
      this.#mark();
    }
    this.#curves();
  }

  #sorted() {
    if (this.wants !== this.statistic) this.wanted(this.wants);
    this.#fill();
  }

  #fill() {
    const wanted = this.search.value.trim().toLowerCase();
    const { compare, by, curve } = ORDERS[this.sort.value];
    const found = this.tensors.filter(({ name }) => name.toLowerCase().includes(wanted));
    if (compare) found.sort(compare);
    if (by && this.glance?.statistic === curve) {
      const place = ({ name }) => (this.#newest(name) === undefined ? Infinity : by(this.#newest(name)));
      found.sort((a, b) => place(a) - place(b));
    }
    const shown = found.slice(0, MOST);
    const largest = Math.max(1, ...this.tensors.map((tensor) => tensor.accumulator_bytes));
    this.rows = new Map(shown.map((tensor) => [tensor.name, this.#row(tensor, largest)]));
    this.list.replaceChildren(...this.rows.values());
    say(this.heading, wanted || shown.length < found.length ? `Tensors ${count(shown.length)} / ${count(this.tensors.length)}` : `Tensors ${this.tensors.length ? count(this.tensors.length) : ""}`);
    this.drawnVersion = null;
    this.#mark();
    this.#curves();
  }

  #newest(name) {
    const value = this.glance?.series.get(name)?.last;
    return Number.isFinite(value) ? value : undefined;
  }

  #row(tensor, largest) {
    const share = tensor.accumulator_bytes / largest;
    return h(
      "button",
      { type: "button", class: "sm3-tensor", role: "option", dataset: { name: tensor.name }, onclick: () => this.picked(tensor.name) },
      h("span", { class: "sm3-name" }, tensor.name),
      h("span", { class: "sm3-shape" }, `${shape(tensor.shape)} · ${bytes(tensor.accumulator_bytes)}`),
      sparkline(),
      h("i", { class: "sm3-bar", style: { width: `${Math.max(share ? 2 : 0, 100 * share)}%` } }),
    );
  }

  /** Draws the small curves, at most every two seconds. */
  #curves() {
    const { glance } = this;
    const curve = CURVES[glance?.statistic];
    say(this.about, curve ? curve.label : "");
    if (!curve || this.drawnVersion === glance.version || (this.drawnVersion && performance.now() - this.curvesAt < 2000)) return;
    this.drawnVersion = glance.version;
    this.curvesAt = performance.now();
    const top = Math.max(1, ...[...glance.series.values()].map(({ last }) => (Number.isFinite(last) ? last : 0)));
    const options = { log: Boolean(curve.log), range: curve.log ? null : curve.range ?? [0, top] };
    for (const tensor of this.tensors) {
      const row = this.rows.get(tensor.name);
      if (!row) continue;
      const series = glance.series.get(tensor.name);
      const values = series && curve.flip ? series.values.map((value) => 1 - value) : series?.values;
      row.children[2].firstChild.setAttribute("d", series ? sparkPath({ steps: series.steps, values }, options) : "");
      const newest = this.#newest(tensor.name);
      const told = newest === undefined ? "" : `\n${curve.text(newest)}`;
      row.title = `${tensor.name}\n${tensor.cover || "no cover"}: accumulators ${bytes(tensor.accumulator_bytes)}, momentum ${bytes(tensor.momentum_bytes)}${told}`;
    }
  }

  #mark() {
    for (const row of this.list.children) {
      const isSelected = row.dataset.name === this.selected;
      row.setAttribute("aria-selected", String(isSelected));
      row.tabIndex = isSelected ? 0 : -1;
    }
    if (this.list.firstElementChild && !this.list.querySelector("[tabindex='0']")) this.list.firstElementChild.tabIndex = 0;
  }

  #key(event) {
    const next = this.list[FIRST_LAST[event.key]] ?? (NEXT[event.key] && event.target.closest(".sm3-tensor")?.[NEXT[event.key]]);
    if (!next) return;
    event.preventDefault();
    next.focus();
    this.picked(next.dataset.name);
  }
}
