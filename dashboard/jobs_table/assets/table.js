// The table of jobs: rows keep their place in the page while their cells change.

import { h, say, whenGone } from "../kit/dom.js";
import { count, duration, isFinal, reading, status } from "../kit/words.js";

const tables = new WeakMap();
const COLUMNS = ["State", "Job", "Progress", "Loss", "Started", ""];

export default function table({ data, parentElement, setTriggerValue }) {
  let view = tables.get(parentElement);
  if (!view) {
    view = new JobsTable();
    tables.set(parentElement, view);
    parentElement.append(view.element);
  }
  view.ask = setTriggerValue;
  view.draw(data.jobs, Date.parse(data.now));
  return whenGone(parentElement, () => {
    view.element.remove();
    tables.delete(parentElement);
  });
}

class JobsTable {
  constructor() {
    this.rows = new Map();
    this.body = h("tbody");
    this.element = h(
      "div",
      { class: "sm3 sm3-jobtable" },
      h("table", {}, h("thead", {}, h("tr", {}, ...COLUMNS.map((name) => h("th", { scope: "col" }, name)))), this.body),
    );
  }

  draw(jobs, now) {
    const kept = new Set(jobs.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (kept.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
    }
    jobs.forEach((job, i) => {
      if (!this.rows.has(job.id)) this.rows.set(job.id, new Row(job, (event) => this.ask(event, { job: job.id, at: Date.now() })));
      const row = this.rows.get(job.id);
      if (this.body.children[i] !== row.element) this.body.insertBefore(row.element, this.body.children[i] ?? null);
      row.draw(job, now);
    });
  }
}

class Row {
  constructor(job, ask) {
    this.chip = h("span", { class: "sm3-status" });
    this.open = h("button", { type: "button", class: "sm3-open", title: "Open in Live", onclick: () => ask("open") }, `${job.spec.recipe.name} ${job.spec.recipe.size ?? job.spec.recipe.model ?? ""}`);
    this.with = h("span", { class: "sm3-about" }, [optimizer(job.spec.optimizer), ...Object.entries(job.spec.labels).map(([name, value]) => `${name}: ${name === "comparison" ? value.slice(-4) : value}`), job.id.slice(-4)].join(" · "));
    this.bar = h("i");
    this.steps = h("span", { class: "sm3-about" });
    this.loss = h("td", { class: "sm3-number" });
    this.started = h("td", { class: "sm3-about" });
    this.stop = h("button", { type: "button", class: "sm3-button", onclick: () => this.#stop(ask) }, "Stop");
    this.element = h(
      "tr",
      {},
      h("td", {}, this.chip),
      h("td", {}, this.open, this.with),
      h("td", {}, h("div", { class: "sm3-progress" }, this.bar), this.steps),
      this.loss,
      this.started,
      h("td", {}, this.stop),
    );
  }

  draw(job, now) {
    const state = status(job, { connected: true, ageS: null, staleAfterS: Infinity, paused: false });
    const { step, steps, loss, eta_s: eta } = job.progress;
    this.chip.dataset.kind = state.kind;
    say(this.chip, `${state.glyph} ${state.kind === "live" ? "RUNNING" : state.word}`);
    this.chip.title = job.cause || job.phase;
    this.bar.style.width = `${(100 * step) / steps}%`;
    say(this.steps, `${count(step)} / ${count(steps)}${state.kind === "live" && eta !== null ? ` · ${duration(eta)} left` : ""}`);
    say(this.loss, reading(loss));
    say(this.started, job.started_at ? ago((now - Date.parse(job.started_at)) / 1000) : "not yet");
    this.started.title = job.started_at ? new Date(job.started_at).toLocaleString() : "";
    this.stop.hidden = isFinal(job);
    this.stop.disabled = job.state === "cancelling";
  }

  /** Asks once more before it stops a job. */
  #stop(ask) {
    if (this.stop.classList.contains("sm3-danger")) {
      this.stop.disabled = true;
      ask("cancel");
      return;
    }
    this.stop.classList.add("sm3-danger");
    say(this.stop, "Stop it?");
    setTimeout(() => {
      this.stop.classList.remove("sm3-danger");
      say(this.stop, "Stop");
    }, 4000);
  }
}

function optimizer({ name, lr, cover }) {
  const along = cover?.dims ? ` ${cover.dims.join(",")}` : "";
  const kind = cover && (cover.kind !== "slices" || along) ? ` ${cover.kind}${along}` : "";
  return `${name}${kind}, lr ${Number(lr.toPrecision(3))}`;
}

function ago(seconds) {
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}
