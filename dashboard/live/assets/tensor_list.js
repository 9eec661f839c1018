// The list of tensors: pick one, search by name, sort.

import { h, say } from "../kit/dom.js";
import { bytes, shape } from "../kit/words.js";

const ORDERS = {
  model: { label: "model order", compare: null },
  bytes: { label: "state bytes", compare: (a, b) => stateBytes(b) - stateBytes(a) },
  name: { label: "name", compare: (a, b) => a.name.localeCompare(b.name, "en", { numeric: true }) },
};

const stateBytes = (tensor) => tensor.accumulator_bytes + tensor.momentum_bytes;

export class TensorList {
  constructor(picked) {
    this.picked = picked;
    this.tensors = [];
    this.order = "model";
    this.selected = null;
    this.search = h("input", { type: "search", class: "sm3-search", placeholder: "find", "aria-label": "Find a tensor", oninput: () => this.#fill() });
    this.sort = h(
      "select",
      { class: "sm3-select", "aria-label": "Sort tensors by", onchange: () => this.#fill() },
      ...Object.entries(ORDERS).map(([value, { label }]) => h("option", { value }, label)),
    );
    this.heading = h("h2", {}, "Tensors");
    this.list = h("div", { class: "sm3-tensors", role: "listbox", "aria-label": "Tensors" });
    this.list.addEventListener("keydown", (event) => this.#key(event));
    this.element = h("aside", { class: "sm3-card sm3-rail" }, h("div", { class: "sm3-cardhead" }, this.heading, h("span", { class: "sm3-space" }), this.sort), this.search, this.list);
  }

  /** Shows `tensors` with `selected` marked; rebuilt only when they differ. */
  draw(tensors, selected) {
    if (tensors !== this.tensors) {
      this.tensors = tensors;
      this.#fill();
    }
    if (selected !== this.selected) {
      this.selected = selected;
      this.#mark();
    }
  }

  #fill() {
    const wanted = this.search.value.trim().toLowerCase();
    const compare = ORDERS[this.sort.value].compare;
    const shown = this.tensors.filter(({ name }) => name.toLowerCase().includes(wanted));
    if (compare) shown.sort(compare);
    const largest = Math.max(1, ...this.tensors.map((tensor) => tensor.accumulator_bytes));
    this.list.replaceChildren(...shown.map((tensor) => this.#row(tensor, largest)));
    say(this.heading, wanted ? `Tensors ${shown.length} / ${this.tensors.length}` : `Tensors ${this.tensors.length || ""}`);
    this.#mark();
  }

  #row(tensor, largest) {
    const share = tensor.accumulator_bytes / largest;
    return h(
      "button",
      {
        type: "button",
        class: "sm3-tensor",
        role: "option",
        title: `${tensor.name}\n${tensor.cover || "no cover"}: accumulators ${bytes(tensor.accumulator_bytes)}, momentum ${bytes(tensor.momentum_bytes)}`,
        dataset: { name: tensor.name },
        onclick: () => this.picked(tensor.name),
      },
      h("span", { class: "sm3-name" }, tensor.name),
      h("span", { class: "sm3-shape" }, shape(tensor.shape)),
      h("span", { class: "sm3-size" }, bytes(tensor.accumulator_bytes)),
      h("i", { class: "sm3-bar", style: { width: `${Math.max(share ? 2 : 0, 100 * share)}%` } }),
    );
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
    const by = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    const next = by && event.target.closest(".sm3-tensor")?.[by];
    if (!next) return;
    event.preventDefault();
    next.focus();
    this.picked(next.dataset.name);
  }
}
