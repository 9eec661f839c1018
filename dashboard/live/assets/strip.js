// The strip on top: how the job is, in shape and words, how far it is, and what can be done about it.

import { h, say } from "../kit/dom.js";
import { count, duration, isFinal, status } from "../kit/words.js";

export class Strip {
  /** `actions` are {hold(), follow(), control("pause" | "resume" | "cancel"), pick(jobId)}: of the view, and of the job. */
  constructor(actions) {
    this.actions = actions;
    this.asked = null; // {what, state}: what was asked of the job, and its state then
    this.chip = h("span", { class: "sm3-status", role: "status" });
    this.jobs = h("select", { class: "sm3-select sm3-jobs", "aria-label": "Job", onchange: () => actions.pick(this.jobs.value) });
    this.step = h("span", { class: "sm3-step" });
    this.bar = h("div", { class: "sm3-progress", role: "progressbar", "aria-label": "Progress", "aria-valuemin": "0", "aria-valuemax": "100" }, h("i"));
    this.eta = h("span", { class: "sm3-eta" });
    this.note = h("span", { class: "sm3-note" });
    this.hold = button("Hold view", "Keep the view still; training goes on", () => actions.hold());
    this.follow = button("Follow", "Go back to the newest frame and forget zoom", () => actions.follow());
    this.pause = button("Pause job", "Let the worker write a checkpoint and free its slot; it can go on exactly where it was", () => this.#control("pause"));
    this.resume = button("Resume job", "Queue the job again; it goes on exactly where it stopped", () => this.#control("resume"));
    this.stop = button("Stop job", "Cancel the job", () => this.#ask(true));
    this.ofView = h("span", { class: "sm3-group", role: "group", "aria-label": "The view" }, this.hold, this.follow);
    this.ofJob = h("span", { class: "sm3-group", role: "group", "aria-label": "The job" }, this.pause, this.resume, this.stop);
    this.confirm = h(
      "span",
      { class: "sm3-confirm", hidden: true },
      h("span", {}, "Stop this job?"),
      button("Stop it", "Cancel the job now", () => this.#confirmed(), "sm3-danger"),
      button("Keep it", "Let it run", () => this.#ask(false)),
    );
    this.element = h("header", { class: "sm3-strip" }, this.chip, this.jobs, this.step, this.bar, this.eta, this.note, h("span", { class: "sm3-space" }), this.ofView, this.ofJob, this.confirm);
  }

  /** Lists the jobs that can be looked at. */
  list(jobs, selected) {
    const key = JSON.stringify([jobs, selected]);
    if (key === this.listed) return;
    this.listed = key;
    this.jobs.replaceChildren(...jobs.map(({ id, label }) => h("option", { value: id, selected: id === selected }, label)));
  }

  /** Says how the job is now. */
  draw(store, { connected, paused, pinned, mayControl }) {
    const { job } = store;
    if (!job) return;
    this.state = job.state;
    const now = status(job, { connected, paused, pinned, ageS: store.ageS(), staleAfterS: store.staleAfterS });
    this.chip.dataset.kind = now.kind;
    say(this.chip, `${now.glyph} ${now.word}`);
    say(this.note, [now.note, store.missed ? `${count(store.missed)} frames skipped` : ""].filter(Boolean).join(" · "));
    const share = Math.min(1, store.step / job.spec.steps);
    say(this.step, `step ${count(store.step)} / ${count(job.spec.steps)}`);
    this.bar.firstElementChild.style.width = `${100 * share}%`;
    this.bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    const done = isFinal(job);
    const running = job.state === "running" && store.etaS !== null && share < 1;
    say(this.eta, `${Math.floor(100 * share)} %${running ? ` · ${duration(store.etaS)} left` : done ? took(job) : ""}`);
    say(this.hold, paused ? "Release view" : "Hold view");
    this.hold.setAttribute("aria-pressed", String(paused));
    this.hold.hidden = done && !paused;
    say(this.follow, done ? (pinned ? "Newest" : "Reset zoom") : "Follow");
    if (job.state !== this.asked?.state) this.asked = null; // the job's new state answers what was asked
    this.ofJob.hidden = done || !mayControl || !this.confirm.hidden;
    this.resume.hidden = job.state !== "paused";
    this.pause.hidden = !this.resume.hidden || job.state === "cancelling";
    this.pause.disabled = job.state === "pausing" || this.asked !== null;
    say(this.pause, job.state === "pausing" || this.asked?.what === "pause" ? "Pausing…" : "Pause job");
    this.resume.disabled = this.asked !== null;
    this.stop.disabled = job.state === "cancelling" || this.asked?.what === "cancel";
    if (done) this.confirm.hidden = true;
    return now;
  }

  /** Forgets what was asked of the job: the service refused. */
  refused() {
    this.asked = null;
  }

  #control(what) {
    this.asked = { what, state: this.state };
    this.pause.disabled = this.resume.disabled = true;
    this.actions.control(what);
  }

  #ask(asking) {
    this.confirm.hidden = !asking;
    this.ofJob.hidden = asking;
    if (asking) this.confirm.querySelector("button").focus();
    else this.stop.focus();
  }

  #confirmed() {
    this.#ask(false);
    this.#control("cancel");
    this.stop.disabled = true;
  }
}

function took(job) {
  const seconds = (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000;
  return Number.isNaN(seconds) ? "" : ` · took ${duration(seconds)}`;
}

function button(text, title, onclick, extra = "") {
  return h("button", { type: "button", class: `sm3-button ${extra}`, title, onclick }, text);
}
