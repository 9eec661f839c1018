// The live view: puts the parts together, feeds them from the connection and draws at most five times a second.

import { Connection, liveUrl } from "./connection.js";
import { h, say } from "../kit/dom.js";
import { lossFigure, rateFigure, zerosFigure } from "./figures.js";
import { Look } from "./look.js";
import { MapPanel } from "./map_panel.js";
import { Store } from "./store.js";
import { Strip } from "./strip.js";
import { smooth, smoothingSpan } from "./series.js";
import { TensorList } from "./tensor_list.js";
import { readTheme } from "../kit/theme.js";
import { TimePanel } from "./time_panel.js";
import { accounting, headline, isFinal, percent, reading } from "../kit/words.js";

const DRAW_EVERY_MS = 200;
const CHARTS_EVERY_MS = 1000; // curves over thousands of steps move too little to be drawn as often as the map

export class LiveView {
  constructor() {
    this.ask = () => {}; // ask(event, value): a question for Python, set at each rerun
    this.store = new Store();
    this.paused = false;
    this.drawn = null; // the frame that is shown
    this.held = null; // the one to show while paused
    this.revision = 0;
    this.tensor = null;
    this.drawnAt = 0;
    this.chartsDrawnAt = 0;
    this.pending = 0;
    this.connection = new Connection({
      text: (message) => this.#text(message),
      binary: (buffer) => this.#binary(buffer),
      changed: (isOpen) => {
        if (isOpen) this.look.past.again();
        this.#drawStrip();
      },
      needTicket: () => this.ask("ticket", { job: this.jobId, at: Date.now() }),
    });
    this.#build();
    this.clock = setInterval(() => this.#tick(), 1000);
  }

  #build() {
    this.strip = new Strip({
      pause: () => this.#pause(!this.paused),
      follow: () => this.#follow(),
      stop: () => this.ask("cancel", { job: this.jobId, at: Date.now() }),
      pick: (jobId) => this.ask("pick", { job: jobId, at: Date.now() }),
    });
    this.lead = h("h1", {});
    this.detail = h("p", {});
    this.how = h("details", { class: "sm3-how" }, h("summary", {}, "how it is counted"), h("p"));
    this.cause = h("p", { class: "sm3-cause" });
    this.log = h("details", {}, h("summary", {}, "The worker's log"), h("pre"));
    this.banner = h("div", { class: "sm3-banner", role: "alert", hidden: true }, this.cause, this.log);
    this.look = new Look({
      say: (message) => this.connection.isOpen && (this.connection.say(message), true),
      changed: () => this.#schedule(true, { charts: false }),
      address: () => ({ job: this.jobId }),
    });
    this.map = new MapPanel(this.look);
    this.map.onRange = () => {
      this.shown = null;
      this.#schedule(true);
    };
    const pointed = (step) => this.charts.forEach((chart) => chart.point(step));
    this.charts = CHARTS.map((chart) => new TimePanel({ ...chart, pointed }));
    this.list = new TensorList((name) => this.#pick(name));
    this.element = h(
      "div",
      { class: "sm3 sm3-live", dataset: { frames: "0" } },
      this.strip.element,
      this.banner,
      h(
        "div",
        { class: "sm3-body" },
        h(
          "div",
          { class: "sm3-main" },
          h("div", { class: "sm3-headline" }, this.lead, h("div", { class: "sm3-sub" }, this.detail, this.how)),
          this.map.element,
          h("div", { class: "sm3-charts" }, ...this.charts.map((chart) => chart.element)),
        ),
        this.list.element,
      ),
    );
  }

  /** Starts drawing: everything else is there before the five megabytes of Plotly are. */
  drawWith(Plotly) {
    this.map.Plotly = Plotly;
    for (const chart of this.charts) chart.Plotly = Plotly;
    this.canDraw = true;
    this.#schedule(true);
  }

  /** Says why there are no charts. */
  cannotDraw(error) {
    say(this.map.why, `The charts cannot be drawn: ${error.message}. Load the page again.`);
  }

  /** Takes what Python says at each of its reruns; only another job makes a new connection. */
  update(data) {
    this.data = data;
    if (data.job.id !== this.jobId) this.#openJob(data);
    else this.connection.offer(data.ticket);
    this.strip.list(data.jobs, this.jobId);
    this.theme = null;
    this.#drawStrip();
    this.#schedule(true);
  }

  #openJob(data) {
    this.jobId = data.job.id;
    this.store = new Store();
    this.store.job = data.job;
    this.store.tensors = data.tensors;
    this.tensor = null;
    this.wanted = data.tensor;
    this.revision++;
    this.paused = false;
    this.drawn = this.held = null;
    this.look.open(data.place);
    this.connection.start((ticket) => this.#url(ticket), data.ticket);
    this.#choose();
  }

  /** Returns where to connect: behind what this page has, unless the shown tensor's history never came. */
  #url(ticket) {
    const { store, tensor } = this;
    const since = !tensor || store.complete.has(tensor) ? store.since : null;
    return liveUrl(this.data.api, this.jobId, { ticket, since, tensor });
  }

  /** Ends connection and timers; the page has left. */
  destroy() {
    clearInterval(this.clock);
    cancelAnimationFrame(this.pending);
    this.look.stop();
    this.connection.stop();
  }

  #text(message) {
    const changed = this.store.text(message);
    if (message.type === "job") this.#choose();
    if (changed && isFinal(this.store.job)) this.ask("ended", { job: this.jobId, at: Date.now() });
    this.#drawStrip();
    if (message.type === "job") this.#schedule();
  }

  #binary(buffer) {
    if (this.store.binary(buffer, this.look.past) === "history") this.chartsDrawnAt = 0;
    this.element.dataset.frames = String(this.store.frames);
    this.#schedule();
  }

  /** Picks the tensor of the address, or the one with most accumulators among those with rows and columns. */
  #choose() {
    const { tensors } = this.store;
    if (this.tensor || !tensors.length) return;
    const matrices = tensors.filter(({ shape }) => shape.length > 1);
    const largest = (matrices.length ? matrices : tensors).reduce((a, b) => (b.accumulator_bytes > a.accumulator_bytes ? b : a));
    this.#pick(tensors.find(({ name }) => name === this.wanted)?.name ?? largest.name, { remember: false });
  }

  #pick(name, { remember = true } = {}) {
    this.tensor = name;
    this.connection.say({ type: "select", tensor: name });
    if (remember) {
      const url = new URL(location.href);
      url.searchParams.set("job", this.jobId);
      url.searchParams.set("tensor", name);
      history.replaceState(history.state, "", url);
    }
    this.#schedule(true);
  }

  #pause(paused) {
    this.paused = paused;
    this.held = this.drawn;
    this.#drawStrip();
    if (!paused) this.#schedule(true);
  }

  #follow() {
    this.revision++;
    this.look.follow();
    this.#pause(false);
  }

  #tick() {
    this.connection.check(performance.now());
    this.#drawStrip();
    if (this.chartsAreBehind) this.#schedule();
  }

  /** Draws soon; with `force` at once, `charts` included, and even when paused. */
  #schedule(force = false, { charts = force } = {}) {
    if (charts) this.chartsDrawnAt = 0;
    if (this.pending || (this.paused && !force)) return;
    const due = force ? 0 : this.drawnAt + DRAW_EVERY_MS - performance.now();
    const draw = () => {
      this.pending = requestAnimationFrame(() => {
        this.pending = 0;
        if (this.element.isConnected) this.#draw();
      });
    };
    if (due <= 0) return draw();
    this.pending = setTimeout(draw, due);
  }

  #draw() {
    const begin = performance.now();
    this.drawnAt = begin;
    this.theme ??= readTheme(this.element);
    const { store, theme } = this;
    // A draw that was due before the pause, or is forced during it, shows the frame that was held.
    const frame = this.paused ? this.held : store.frame;
    const words = headline(store.job.memory, store.job.spec.optimizer.name);
    say(this.lead, words.lead);
    say(this.detail, words.detail);
    say(this.how.lastElementChild, accounting(store.job.memory));
    this.how.hidden = !store.job.memory;
    this.list.draw(store.tensors, this.tensor);
    if (!this.canDraw) return;
    const revision = `${this.jobId}/${this.revision}`;
    const tensor = store.tensors.find(({ name }) => name === this.tensor);
    const scene = tensor && this.look.scene(tensor, frame, store);
    const shown = [tensor, ...(scene?.key ?? []), theme, revision];
    if (tensor && shown.some((part, i) => part !== this.shown?.[i])) {
      this.shown = shown;
      this.map.draw(scene, theme, revision);
    }
    if (begin - this.chartsDrawnAt >= CHARTS_EVERY_MS) {
      this.chartsDrawnAt = begin;
      this.chartsAreBehind = false;
      const options = { revision, steps: store.job.spec.steps, tensor: this.tensor };
      for (const chart of this.charts) chart.draw(store, theme, options);
    } else this.chartsAreBehind = true;
    this.#drawStrip();
    this.drawn = frame;
    this.element.dataset.step = String(frame?.step ?? "");
    this.element.dataset.drawMs = (performance.now() - begin).toFixed(1);
    this.element.dataset.draws = String(Number(this.element.dataset.draws ?? 0) + 1);
  }

  #drawStrip() {
    const { job } = this.store;
    if (!job) return;
    const now = this.strip.draw(this.store, { connected: this.connection.isOpen, paused: this.paused, pinned: this.look.pinned });
    this.element.dataset.kind = now.kind;
    const failed = now.kind === "failed";
    const problem = !failed && !this.connection.isOpen ? this.data?.problem : "";
    this.banner.hidden = !failed && !problem;
    say(this.cause, failed ? job.cause || "The worker gave no cause." : problem || "");
    this.log.hidden = !failed || !this.data?.log;
    say(this.log.lastElementChild, this.data?.log ?? "");
  }
}

const CHARTS = [
  {
    name: "loss",
    title: "Loss, nats (log)",
    figure: lossFigure,
    read: (store, at) => {
      const loss = store.get("loss");
      const validation = store.get("val_loss");
      const averaged = store.get("val_loss_averaged");
      const upTo = loss.values.slice(0, at(loss) + 1);
      const span = smoothingSpan(loss.length);
      return [
        { look: "accent", text: `smoothed ${reading(smooth(upTo.slice(-8 * span), span).at(-1))}` },
        { look: "ghost", text: `raw ${reading(upTo.at(-1))}` },
        { look: "diamond", text: `held out ${reading(validation.values[at(validation)])}` },
        ...(averaged.length ? [{ look: "ring", text: `averaged ${reading(averaged.values[at(averaged)])}` }] : []),
      ];
    },
  },
  {
    name: "rate",
    title: "Effective rate lr/√ν",
    figure: rateFigure,
    read: (store, at, tensor) => {
      const [low, middle, high] = ["rate_p05", "rate_p50", "rate_p95"].map((name) => store.get(`${name}/${tensor}`));
      return [
        { look: "accent", text: `median ${reading(middle.values[at(middle)])}` },
        { look: "band", text: `p5 ${reading(low.values[at(low)])} to p95 ${reading(high.values[at(high)])}` },
      ];
    },
  },
  {
    name: "zeros",
    title: "Zero in the gradient",
    figure: zerosFigure,
    read: (store, at, tensor) => {
      const [rows, columns, never] = ["zero_rows", "zero_cols", "untouched"].map((name) => store.get(`${name}/${tensor}`));
      return [
        { look: "accent", text: `rows ${percent(rows.values[at(rows)])}` },
        { look: "dash", text: `columns ${percent(columns.values[at(columns)])}` },
        { look: "dot", text: `untouched ${percent(never.values[at(never)])}` },
      ];
    },
  },
];
