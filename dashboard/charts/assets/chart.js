// One chart in a card, as Python describes it: heading, keys, picture or table, and what can be saved.
//
// Streamlit calls the default export when it mounts the component and at each rerun; the card outlives the reruns,
// so zoom, hover and the choice between picture and table stay.

import { followSize, OPTIONS } from "../kit/axes.js";
import { h, say, whenGone } from "../kit/dom.js";
import { ChartMenu } from "../kit/menu.js";
import { loadPlotly } from "../kit/plotly.js";
import { firstDrawn } from "../kit/timing.js";
import { Sheet } from "../kit/sheet.js";
import { readTheme, tint } from "../kit/theme.js";
import { dress } from "./dress.js";

const cards = new WeakMap();

export default function chart({ data, parentElement, setTriggerValue }) {
  let card = cards.get(parentElement);
  if (!card) {
    card = new Card();
    cards.set(parentElement, card);
    parentElement.append(card.element);
  }
  card.ask = setTriggerValue;
  card.update(data);
  return whenGone(parentElement, () => {
    card.destroy();
    card.element.remove();
    cards.delete(parentElement);
  });
}

class Card {
  constructor() {
    this.Plotly = null;
    this.title = h("h2", {});
    this.about = h("span", { class: "sm3-about" });
    this.keys = h("div", { class: "sm3-keys" });
    this.plot = h("div", { class: "sm3-plot", role: "img", tabIndex: 0 });
    this.hint = h("p", { class: "sm3-hint" });
    this.sheet = new Sheet({ search: true, picked: (id) => this.#clicked(id) });
    this.stage = h("div", { class: "sm3-stage" }, this.plot, this.hint);
    this.note = h("p", { class: "sm3-about sm3-chartnote" });
    this.menu = new ChartMenu({
      name: () => this.data.name,
      table: () => this.data.table,
      picture: () => this.Plotly && { Plotly: this.Plotly, plot: this.plot, title: this.data.title, theme: this.theme },
      toggled: () => this.#draw(),
    });
    this.head = h("div", { class: "sm3-cardhead" }, this.title, this.about, h("span", { class: "sm3-space" }), this.menu.element);
    this.card = h("section", { class: "sm3-card sm3-chartcard" }, this.head, this.keys, this.stage, this.note);
    this.element = h("div", { class: "sm3 sm3-chart" }, this.card);
    followSize(this, () => {});
  }

  /** Takes what Python says; see `dashboard.figures.chart.Chart`. */
  update(data) {
    this.data = data;
    this.card.style.height = `${data.height}px`;
    this.element.dataset.chart = data.name;
    if (!data.figure) this.menu.show(true);
    this.menu.view.hidden = !data.figure;
    this.#draw();
    if (data.figure && !this.Plotly) {
      loadPlotly(data.plotly).then(
        (Plotly) => {
          this.Plotly = Plotly;
          this.#draw();
        },
        (error) => say(this.hint, `The chart cannot be drawn: ${error.message}. Load the page again.`),
      );
    }
  }

  /** Frees what Plotly holds; the page has left. */
  destroy() {
    if (this.Plotly) this.Plotly.purge(this.plot);
  }

  #draw() {
    const { data } = this;
    this.theme = readTheme(this.element);
    say(this.title, data.title);
    say(this.about, data.about);
    say(this.note, data.note);
    this.note.hidden = !data.note;
    this.#sayKeys();
    const shown = this.menu.shown;
    this.plot.hidden = shown;
    const parts = shown ? [this.sheet.element] : [this.plot, this.hint];
    if (this.stage.firstChild !== parts[0]) this.stage.replaceChildren(...parts); // what stays keeps focus and scroll
    if (shown) this.sheet.draw(data.table);
    else this.#drawPlot();
  }

  #drawPlot() {
    const { data } = this;
    this.hint.hidden = Boolean(this.Plotly) && !data.empty;
    say(this.hint, data.empty || (this.Plotly ? "" : "Loading…"));
    this.plot.setAttribute("aria-label", data.alt);
    this.plot.style.visibility = data.empty ? "hidden" : "";
    if (!this.Plotly || !data.figure) return;
    const { data: traces, layout } = dress(data.figure, this.theme, data.revision);
    this.Plotly.react(this.plot, traces, layout, OPTIONS);
    if (!data.empty) firstDrawn(data.name);
    if (!this.listens) {
      this.listens = true;
      this.plot.on("plotly_click", ({ points }) => this.#clicked(idOf(points[0])));
    }
    this.element.dataset.draws = String(Number(this.element.dataset.draws ?? 0) + 1);
  }

  #clicked(id) {
    if (id !== undefined && id !== null) this.ask("clicked", { id, at: Date.now() });
  }

  #sayKeys() {
    const { keys } = this.data;
    this.keys.hidden = !keys.length || this.menu.shown;
    this.keys.replaceChildren(...keys.map(({ text, color, dash, glyph, hatch, box }) => {
      const shade = tint(this.theme, color);
      const mark = hatch
        ? h("i", { class: "sm3-swatch" })
        : box
          ? h("i", { class: "sm3-box", style: { background: shade } })
        : glyph
          ? h("span", { style: { color: shade }, "aria-hidden": "true" }, glyph)
          : h("i", { class: "sm3-mark", style: { borderTop: `2px ${DASHES[dash] ?? "solid"} ${shade}` } });
      return h("span", { class: "sm3-key" }, mark, h("span", {}, text));
    }));
  }
}

const DASHES = { solid: "solid", dash: "dashed", dot: "dotted", dashdot: "dashed" };

/** Returns what Python put into the point's `customdata` as its id: the whole of it, or its first part. */
function idOf(point) {
  const given = point.customdata ?? point.id;
  return Array.isArray(given) ? given[0] : given;
}
