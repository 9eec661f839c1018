// Heatmaps side by side in a card: one scale, one zoom, one crosshair, one step. It outlives Streamlit's reruns.

import { axisOf, OPTIONS, positionIn } from "../kit/axes.js";
import { caption, h, say, whenGone } from "../kit/dom.js";
import { ChartMenu } from "../kit/menu.js";
import { Player } from "../kit/player.js";
import { loadPlotly } from "../kit/plotly.js";
import { firstDrawn } from "../kit/timing.js";
import { Sheet } from "../kit/sheet.js";
import { readTheme, tint } from "../kit/theme.js";
import { count } from "../kit/words.js";
import { indexOf, numFrames, stepOf } from "../kit/steps.js";
import { arrange, entries, figure, readout, unpack, xaxisOf, yaxisOf } from "./panels.js";

const cards = new WeakMap();
const TEXT = "\uFE0E"; // these signs as text, not as pictures
const PICTURES = 60; // each is one run of the page, and a frame of each job
const MODES = [["tightness", "tightness", "log2(ν/γ): 0 bits are as good as AdaGrad"], ["nu", "ν", "the bound itself, on a log scale"]];

export default function maps({ data, parentElement, setTriggerValue }) {
  let card = cards.get(parentElement);
  if (!card) {
    card = new Maps();
    cards.set(parentElement, card);
    parentElement.append(card.element);
  }
  card.ask = (name, value) => setTriggerValue(name, { value, at: Date.now() });
  card.update(data);
  return whenGone(parentElement, () => {
    card.destroy();
    cards.delete(parentElement);
  });
}

class Maps {
  constructor() {
    this.Plotly = null;
    this.at = null; // {row, column} under the pointer
    this.range = null;
    this.wanted = undefined; // the step that was asked for and has not come; null is the newest
    this.player = new Player({ where: () => this.#where(), go: (step) => this.#go(step), changed: () => this.#drawScrub(), pictures: PICTURES });
    this.title = h("h2", {});
    this.switch = h("span", { class: "sm3-switch", role: "group", "aria-label": "What the maps show" },
      ...MODES.map(([mode, text, title]) => h("button", { type: "button", class: "sm3-chip", dataset: { mode }, title, onclick: () => this.ask("show", mode) }, text)));
    this.slider = h("input", { type: "range", "aria-label": "Step", oninput: () => this.#dragStep(Number(this.slider.value)), onchange: () => this.#pickStep(Number(this.slider.value)), onkeydown: (event) => this.#key(event) });
    this.play = h("button", { type: "button", class: "sm3-chip", onclick: () => this.#togglePlay() });
    this.step = h("output", {});
    this.latest = h("button", { type: "button", class: "sm3-chip", title: "Follow the newest step", onclick: () => this.#pick(null) }, "newest");
    this.scrub = h("span", { class: "sm3-scrub" }, this.play, this.slider, this.step, this.latest);
    this.plot = h("div", { class: "sm3-plot sm3-sidebyside", role: "img", tabIndex: 0, onmousemove: (event) => this.#point(event), onmouseleave: () => this.#leave(), onkeydown: (event) => this.#walk(event) });
    this.under = h("div", {});
    this.over = h("div", {});
    this.hint = h("p", { class: "sm3-hint" });
    this.stage = h("div", { class: "sm3-stage" });
    this.readout = h("p", { class: "sm3-readout", "aria-live": "polite" });
    this.sheet = new Sheet();
    this.menu = new ChartMenu({
      name: () => `covers side by side, step ${this.data.steps.shown ?? this.data.steps.newest}`,
      table: () => entries(this.data, this.grids),
      picture: () => this.Plotly && { Plotly: this.Plotly, plot: this.plot, title: this.data.title, theme: this.theme },
      toggled: () => this.#draw(),
    });
    this.blank = h("span", { class: "sm3-about" });
    this.key = h("span", { class: "sm3-key" }, h("i", { class: "sm3-swatch" }), this.blank);
    this.head = h("div", { class: "sm3-cardhead" }, this.title, this.switch, this.key, h("span", { class: "sm3-space" }), this.scrub, this.menu.element);
    this.element = h("div", { class: "sm3 sm3-maps" }, h("section", { class: "sm3-card" }, this.head, this.stage, this.readout));
    this.watch = new ResizeObserver(() => {
      if (this.width !== this.stage.clientWidth && this.data) this.#draw();
    });
    this.watch.observe(this.stage);
  }

  /** Takes what Python says; see `dashboard.side_by_side.Maps`. */
  update(data) {
    const isSame = this.data?.revision === data.revision;
    this.data = data;
    if (!isSame || data.steps.shown === this.wanted) this.wanted = undefined;
    this.grids = data.panels.map(({ z }) => (z ? unpack(z) : null));
    const { low, high } = data.scale;
    // While the same thing is shown the scale only widens, so that a colour keeps its meaning from step to step.
    this.range = isSame && this.range ? [Math.min(low, this.range[0]), Math.max(high, this.range[1])] : [low, high];
    this.element.dataset.step = String(data.steps.shown ?? data.steps.newest);
    this.#draw();
    if (this.Plotly) return;
    loadPlotly(data.plotly).then(
      (Plotly) => {
        this.Plotly = Plotly;
        this.#draw();
      },
      (error) => say(this.hint, `The maps cannot be drawn: ${error.message}. Load the page again.`),
    );
  }

  /** Frees what Plotly holds; the page has left. */
  destroy() {
    this.player.stop();
    this.watch.disconnect();
    if (this.Plotly) this.Plotly.purge(this.plot);
    this.element.remove();
  }

  #draw() {
    const { data } = this;
    this.theme = readTheme(this.element);
    say(this.title, data.title);
    for (const button of this.switch.children) button.setAttribute("aria-pressed", String(button.dataset.mode === data.show));
    say(this.blank, data.show === "tightness" ? "never touched" : "ν = 0");
    this.key.hidden = !this.grids.some((grid) => grid?.some(Number.isNaN));
    this.#drawScrub();
    this.width = this.stage.clientWidth;
    const { height } = arrange(data.panels.length, this.width);
    this.stage.style.height = `${height}px`;
    this.stage.style.flex = "none";
    const shown = this.menu.shown;
    const parts = shown ? [this.sheet.element] : [this.under, this.plot, this.over, this.hint];
    if (this.stage.firstChild !== parts[0]) this.stage.replaceChildren(...parts);
    this.readout.hidden = shown;
    if (shown) this.sheet.draw(data.table);
    else this.#drawPlot();
  }

  #drawPlot() {
    this.hint.hidden = Boolean(this.Plotly);
    say(this.hint, this.Plotly ? "" : "Loading…");
    this.plot.setAttribute("aria-label", this.data.alt);
    if (!this.Plotly || !this.width) return;
    const { data, layout } = figure(this.data, this.grids, this.range, this.width, this.theme, tint);
    this.Plotly.react(this.plot, data, layout, OPTIONS);
    firstDrawn("maps");
    this.#drawHatch();
    this.#drawCross();
    this.element.dataset.draws = String(Number(this.element.dataset.draws ?? 0) + 1);
  }

  #drawScrub() {
    const { newest, every, shown } = this.data.steps;
    this.scrub.hidden = newest === 0;
    this.latest.setAttribute("aria-pressed", String(shown === null));
    this.play.disabled = numFrames(every, newest) < 2;
    say(this.play, `${this.player.isOn ? "▮▮" : "▶"}${TEXT}`);
    caption(this.play, this.player.isOn ? "Stop playing (space)" : shown === null ? "Play from the first frame (space)" : "Play from here (space)");
    this.play.setAttribute("aria-pressed", String(this.player.isOn));
    if (this.isDragging) return;
    Object.assign(this.slider, { min: "0", max: String(Math.max(0, numFrames(every, newest) - 1)), step: "1" });
    this.slider.value = String(indexOf(shown ?? newest, every, newest));
    this.#sayStep(shown ?? newest);
  }

  #sayStep(step) {
    say(this.step, `step ${count(step)} of ${count(this.data.steps.total)}`);
    this.slider.setAttribute("aria-valuetext", `step ${step}`);
  }

  #where() {
    if (!this.data) return null;
    const { newest, every, shown } = this.data.steps;
    return { newest, every, shown: shown ?? newest, isPinned: shown !== null, isHere: this.wanted === undefined };
  }

  #go(step) {
    this.wanted = step;
    this.ask("step", { step, isPlaying: this.player.isOn });
  }

  #pick(step) {
    this.player.stop();
    this.#go(step);
  }

  #togglePlay() {
    const wasOn = this.player.isOn;
    this.player.toggle();
    if (wasOn) this.#go(this.wanted === undefined ? this.data.steps.shown : this.wanted); // now into the address, too
  }

  #key(event) {
    if (event.key !== " " || this.play.disabled) return;
    event.preventDefault();
    this.#togglePlay();
  }

  #dragStep(index) {
    this.isDragging = true;
    this.player.stop();
    const { every, newest } = this.data.steps;
    this.#sayStep(stepOf(index, every, newest));
  }

  #pickStep(index) {
    this.isDragging = false;
    const { every, newest } = this.data.steps;
    const step = stepOf(index, every, newest);
    this.#pick(step >= newest ? null : step); // at its end the slider follows the newest
  }

  #drawHatch() {
    const boxes = this.grids.map((grid, k) => {
      const [x, y] = [axisOf(this.plot, xaxisOf(k)), axisOf(this.plot, yaxisOf(k))];
      if (!grid || !x || !y) return null;
      return h("i", { class: "sm3-hatch", style: { left: `${x.start}px`, top: `${y.start}px`, width: `${x.length}px`, height: `${y.length}px` } });
    });
    this.under.replaceChildren(...boxes.filter(Boolean));
  }

  #point(event) {
    const { x, y } = positionIn(this.plot, event);
    for (let k = 0; k < this.data.panels.length; k++) {
      const [across, down] = [axisOf(this.plot, xaxisOf(k)), axisOf(this.plot, yaxisOf(k))];
      if (!across || x < across.start || x > across.start + across.length || y < down.start || y > down.start + down.length) continue;
      this.at = { row: down.value(y), column: across.value(x) };
      this.#drawCross();
      return;
    }
    this.#leave();
  }

  #leave() {
    this.at = null;
    this.#drawCross();
  }

  #walk(event) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const panel = this.data.panels.find(({ z }) => z);
    if (!moves[event.key] || !panel) return;
    event.preventDefault();
    const [rows, columns] = [panel.rows, panel.columns];
    const width = [rows[1] - rows[0], columns[1] - columns[0]];
    const from = this.at ?? { row: width[0] / 2 - moves[event.key][0] * width[0], column: width[1] / 2 - moves[event.key][1] * width[1] };
    const within = (value, edges, bin) => Math.min(Math.max(value, bin / 2), edges[edges.length - 1] - bin / 2);
    this.at = {
      row: within(from.row + moves[event.key][0] * width[0], rows, width[0]),
      column: within(from.column + moves[event.key][1] * width[1], columns, width[1]),
    };
    this.#drawCross();
  }

  #drawCross() {
    const marks = [];
    if (this.at && this.plot._fullLayout) {
      this.data.panels.forEach((_, k) => {
        const [x, y] = [axisOf(this.plot, xaxisOf(k)), axisOf(this.plot, yaxisOf(k))];
        if (!x || !y) return;
        const [left, top] = [x.pixel(this.at.column), y.pixel(this.at.row)];
        if (left >= x.start && left <= x.start + x.length) marks.push(h("i", { class: "sm3-cross sm3-cross-x", style: { left: `${left}px`, top: `${y.start}px`, height: `${y.length}px` } }));
        if (top >= y.start && top <= y.start + y.length) marks.push(h("i", { class: "sm3-cross sm3-cross-y", style: { top: `${top}px`, left: `${x.start}px`, width: `${x.length}px` } }));
      });
    }
    this.over.replaceChildren(...marks);
    say(this.readout, this.at ? readout(this.data, this.grids, this.at.row, this.at.column) : "Point at a cell, or walk with the arrow keys: every cover tells its number there, the largest of the cell's entries. Drag to zoom all, double-click to reset.");
  }
}
