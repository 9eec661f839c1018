// What the map shows, as a segmented control: a group of radios, of which Tab reaches the chosen one.

import { h } from "../kit/dom.js";
import { MODES } from "./layers.js";

export class ModeBar {
  /** `picked(mode)` is told of each choice. */
  constructor(picked) {
    this.picked = picked;
    this.segments = MODES.map(({ id, label, title }) =>
      h("button", { type: "button", class: "sm3-segment", role: "radio", title, "aria-label": title, dataset: { mode: id }, onclick: () => picked(id) }, label),
    );
    this.element = h("div", { class: "sm3-modes", role: "radiogroup", "aria-label": "What the map shows" }, ...this.segments);
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Marks the mode that is shown. */
  draw(mode) {
    if (mode === this.shown) return;
    this.shown = mode;
    for (const segment of this.segments) {
      const isShown = segment.dataset.mode === mode;
      segment.setAttribute("aria-checked", String(isShown));
      segment.tabIndex = isShown ? 0 : -1;
    }
  }

  #key(event) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const at = this.segments.indexOf(event.target);
    if (!by || at < 0) return;
    event.preventDefault();
    const next = this.segments[(at + by + this.segments.length) % this.segments.length];
    next.focus();
    this.picked(next.dataset.mode);
  }
}
