// The live view: puts the parts together, feeds them from the connection and draws at most five times a second.

import { Connection, liveUrl } from "./connection.js";
import { h, say } from "../kit/dom.js";
import { recall, remember, write } from "./address.js";
import { events } from "./alerts.js";
import { CHARTS } from "./charts.js";
import { EventsPanel } from "./events_panel.js";
import { Look } from "./look.js";
import { MapPanel } from "./map_panel.js";
import { Store } from "./store.js";
import { Strip } from "./strip.js";
import { TensorList } from "./tensor_list.js";
import { readTheme } from "../kit/theme.js";
import { TimePanel } from "./time_panel.js";
import { accounting, headline, isFinal } from "../kit/words.js";

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
        if (isOpen && this.tensor) this.#glance(this.list.wants);
        this.#drawStrip();
      },
      needTicket: () => this.ask("ticket", { job: this.jobId, at: Date.now() }),
    });
    this.#build();
    this.clock = setInterval(() => this.#tick(), 1000);
  }

  #build() {
    this.strip = new Strip({
      hold: () => this.#pause(!this.paused),
      follow: () => this.#follow(),
      control: (what) => this.ask("control", { job: this.jobId, what, at: Date.now() }),
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
    const changed = () => this.#schedule(true);
    this.charts = CHARTS.map((chart) => new TimePanel(chart, { pointed, changed }));
    this.list = new TensorList((name) => this.#pick(name), (statistic) => this.#glance(statistic));
    this.events = new EventsPanel((event) => this.#show(event));
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
        h("div", { class: "sm3-side" }, this.list.element, this.events.element),
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
    if (data.refusal) this.strip.refused();
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
    this.wanted = data.tensor || recall(`tensor/${this.jobId}`);
    this.asked = this.wanted || null; // the tensor whose history comes with the connection
    this.element.dataset.loading = "true";
    this.revision++;
    this.paused = false;
    this.drawn = this.held = null;
    this.look.open(data.place);
    this.connection.start((ticket) => this.#url(ticket), data.ticket);
    this.#choose();
  }

  /** Returns where to connect: behind what this page has, unless the shown tensor's history never came. */
  #url(ticket) {
    const { store } = this;
    const tensor = this.tensor ?? (this.wanted || null); // asked for at once, its history needs no question of its own
    const since = !this.tensor || store.complete.has(this.tensor) ? store.since : null;
    return liveUrl(this.data.api, this.jobId, { ticket, since, tensor });
  }

  /** Ends connection and timers; the page has left. */
  destroy() {
    clearInterval(this.clock);
    cancelAnimationFrame(this.pending);
    clearTimeout(this.pending);
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
    const kind = this.store.binary(buffer, this.look.past);
    if (kind === "history") {
      this.chartsDrawnAt = 0;
      this.element.dataset.loading = "false";
    }
    this.element.dataset.frames = String(this.store.frames);
    this.#schedule();
  }

  /** Picks the tensor of the address, or the one with most accumulators among those with rows and columns. */
  #choose() {
    const { tensors } = this.store;
    if (this.tensor || !tensors.length) return;
    const matrices = tensors.filter(({ shape }) => shape.length > 1);
    const largest = (matrices.length ? matrices : tensors).reduce((a, b) => (b.accumulator_bytes > a.accumulator_bytes ? b : a));
    const wanted = tensors.find(({ name }) => name === this.wanted)?.name;
    this.#pick(wanted ?? largest.name, { chosen: Boolean(wanted) });
    this.#glance(this.list.wants);
  }

  #pick(name, { chosen = true } = {}) {
    this.tensor = name;
    this.store.keep(name);
    if (!this.store.complete.has(name) && name !== this.asked) this.connection.say({ type: "select", tensor: name });
    this.asked = null;
    if (chosen) {
      write({ job: this.jobId, tensor: name });
      remember(`tensor/${this.jobId}`, name);
    }
    this.#schedule(true);
  }

  /** Asks for a few points of a statistic of every tensor. */
  #glance(statistic) {
    this.connection.say({ type: "glance", statistic });
  }

  /** Shows what an event is about: its tensor, and its step on the charts and on the map. */
  #show({ tensor, step }) {
    if (tensor && this.store.tensors.some(({ name }) => name === tensor)) this.#pick(tensor);
    this.look.show(step);
    this.charts.forEach((chart) => chart.point(step));
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
    this.list.draw(store.tensors, this.tensor, store.glance);
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
      this.told = this.#events();
      const isLoading = this.element.dataset.loading === "true" && !isFinal(store.job);
      this.events.draw(this.told, isLoading);
      const options = { revision, steps: store.job.spec.steps, tensor: this.tensor, job: this.jobId, isLoading };
      for (const chart of this.charts) {
        const concerns = ({ tensor: whose }) => whose === null || whose === this.tensor;
        chart.draw(store, theme, { ...options, events: this.told.filter(concerns) });
      }
    } else this.chartsAreBehind = true;
    this.#drawStrip();
    this.drawn = frame;
    this.element.dataset.step = String(frame?.step ?? "");
    this.element.dataset.drawMs = (performance.now() - begin).toFixed(1);
    this.element.dataset.draws = String(Number(this.element.dataset.draws ?? 0) + 1);
  }

  #events() {
    const { store } = this;
    const ageS = store.ageS();
    const isStale = this.connection.isOpen && store.job.state === "running" && ageS !== null && ageS > store.staleAfterS;
    return events({
      moves: store.moves,
      loss: store.get("loss"),
      dropped: store.get("frames_dropped"),
      counts: store.glance.counts,
      stale: isStale ? { ageS, step: store.step } : null,
      warning: isFinal(store.job) ? "" : store.job.warning,
      step: store.step,
    });
  }

  #drawStrip() {
    const { job } = this.store;
    if (!job) return;
    const now = this.strip.draw(this.store, { connected: this.connection.isOpen, paused: this.paused, pinned: this.look.pinned, mayControl: this.data.mayControl });
    this.element.dataset.kind = now.kind;
    const failed = now.kind === "failed";
    const problem = !failed && !this.connection.isOpen ? this.data?.problem : "";
    const refusal = this.data?.refusal ?? "";
    this.banner.hidden = !failed && !problem && !refusal;
    say(this.cause, refusal || (failed ? job.cause || "The worker gave no cause." : problem || ""));
    this.log.hidden = !failed || !this.data?.log;
    say(this.log.lastElementChild, this.data?.log ?? "");
  }
}
