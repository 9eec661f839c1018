// One chart over steps: a heading that reads off values, the chart, and a crosshair shared with its neighbours.

import { axisOf, followSize, OPTIONS, positionIn } from "../kit/axes.js";
import { h, say } from "../kit/dom.js";
import { count } from "../kit/words.js";

export class TimePanel {
  /**
   * `figure(store, theme, options)` makes the chart, `read(store, at, tensor)` the keys of its heading as
   * [{look, text}], `at(series)` being the index to read. `pointed(step|null)` is told where the mouse is.
   */
  constructor({ name, title, figure, read, pointed }) {
    Object.assign(this, { figure, read, title });
    this.Plotly = null; // set once it is loaded, before the first draw
    this.step = null;
    this.where = h("span", { class: "sm3-about" });
    this.keys = h("div", { class: "sm3-keys" });
    this.plot = h("div", { class: `sm3-plot sm3-${name}`, role: "img", "aria-label": title });
    this.cross = h("div", { class: "sm3-cross sm3-cross-x", hidden: true });
    this.hint = h("p", { class: "sm3-hint" }, "Loading…");
    this.element = h(
      "section",
      { class: "sm3-card" },
      h("div", { class: "sm3-cardhead" }, h("h2", {}, title), h("span", { class: "sm3-space" }), this.where),
      this.keys,
      h("div", { class: "sm3-stage" }, this.plot, this.cross, this.hint),
    );
    this.plot.addEventListener("mousemove", (event) => {
      const x = axisOf(this.plot, "xaxis");
      if (!x) return;
      const pixel = positionIn(this.plot, event).x;
      pointed(pixel >= x.start && pixel <= x.start + x.length ? x.value(pixel) : null);
    });
    this.plot.addEventListener("mouseleave", () => pointed(null));
    followSize(this, () => this.point(this.step));
  }

  /** Draws the store's series; `options` are {revision, steps, tensor}. */
  draw(store, theme, options) {
    this.last = { store, tensor: options.tensor };
    const { data, layout } = this.figure(store, theme, options);
    const isEmpty = data.every((trace) => trace.x.length === 0);
    this.hint.hidden = !isEmpty;
    say(this.hint, "Nothing recorded yet");
    this.plot.style.visibility = isEmpty ? "hidden" : "";
    this.Plotly.react(this.plot, data, layout, OPTIONS);
    this.point(this.step);
  }

  /** Moves the crosshair to `step`, or takes it away and reads off the newest values. */
  point(step) {
    this.step = step;
    if (!this.last) return;
    const { store, tensor } = this.last;
    const at = (series) => (step === null ? series.length - 1 : series.nearest(step));
    this.#sayKeys(this.read(store, at, tensor));
    say(this.where, step === null ? "by step" : `step ${count(Math.round(step))}`);
    const x = axisOf(this.plot, "xaxis");
    const y = axisOf(this.plot, "yaxis");
    this.cross.hidden = step === null || !x;
    if (this.cross.hidden) return;
    const px = x.pixel(step);
    this.cross.hidden = px < x.start || px > x.start + x.length;
    Object.assign(this.cross.style, { left: `${px}px`, top: `${y.start}px`, height: `${y.length}px` });
  }

  #sayKeys(keys) {
    while (this.keys.children.length < keys.length) {
      this.keys.append(h("span", { class: "sm3-key" }, h("i", { class: "sm3-mark" }), h("span")));
    }
    keys.forEach(({ look, text }, i) => {
      const [mark, words] = this.keys.children[i].children;
      if (mark.dataset.look !== look) mark.dataset.look = look;
      say(words, text);
    });
    this.plot.setAttribute("aria-label", `${this.title}. ${keys.map(({ text }) => text).join(", ")}.`);
  }
}
