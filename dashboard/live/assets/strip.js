// The strip on top: how the job is, in shape and words, how far it is, and what can be done about it.

import { h, say } from "../kit/dom.js";
import { count, duration, isFinal, status } from "../kit/words.js";

export class Strip {
  /** `actions` are {pause(), follow(), stop(), pick(jobId)}. */
  constructor(actions) {
    this.actions = actions;
    this.chip = h("span", { class: "sm3-status", role: "status" });
    this.jobs = h("select", { class: "sm3-select sm3-jobs", "aria-label": "Job", onchange: () => actions.pick(this.jobs.value) });
    this.step = h("span", { class: "sm3-step" });
    this.bar = h("div", { class: "sm3-progress", role: "progressbar", "aria-label": "Progress", "aria-valuemin": "0", "aria-valuemax": "100" }, h("i"));
    this.eta = h("span", { class: "sm3-eta" });
    this.note = h("span", { class: "sm3-note" });
    this.pause = button("Pause", "Hold the view still; training goes on", () => actions.pause());
    this.follow = button("Follow", "Go back to the newest frame and forget zoom", () => actions.follow());
    this.stop = button("Stop", "Cancel the job", () => this.#ask(true));
    this.confirm = h(
      "span",
      { class: "sm3-confirm", hidden: true },
      h("span", {}, "Stop this job?"),
      button("Stop it", "Cancel the job now", () => this.#confirmed(), "sm3-danger"),
      button("Keep it", "Let it run", () => this.#ask(false)),
    );
    this.element = h("header", { class: "sm3-strip" }, this.chip, this.jobs, this.step, this.bar, this.eta, this.note, h("span", { class: "sm3-space" }), this.pause, this.follow, this.stop, this.confirm);
  }

  /** Lists the jobs that can be looked at. */
  list(jobs, selected) {
    const key = JSON.stringify([jobs, selected]);
    if (key === this.listed) return;
    this.listed = key;
    this.jobs.replaceChildren(...jobs.map(({ id, label }) => h("option", { value: id, selected: id === selected }, label)));
  }

  /** Says how the job is now. */
  draw(store, { connected, paused, pinned }) {
    const { job } = store;
    if (!job) return;
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
    say(this.pause, paused ? "Resume" : "Pause");
    this.pause.setAttribute("aria-pressed", String(paused));
    this.pause.hidden = done;
    say(this.follow, done ? (pinned ? "Newest" : "Reset zoom") : "Follow");
    this.stop.hidden = done || !this.confirm.hidden;
    this.stop.disabled = job.state === "cancelling";
    if (done) this.confirm.hidden = true;
    return now;
  }

  #ask(asking) {
    this.confirm.hidden = !asking;
    this.stop.hidden = asking;
    if (asking) this.confirm.querySelector("button").focus();
    else this.stop.focus();
  }

  #confirmed() {
    this.#ask(false);
    this.stop.disabled = true;
    this.actions.stop();
  }
}

function took(job) {
  const seconds = (Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000;
  return Number.isNaN(seconds) ? "" : ` · took ${duration(seconds)}`;
}

function button(text, title, onclick, extra = "") {
  return h("button", { type: "button", class: `sm3-button ${extra}`, title, onclick }, text);
}
