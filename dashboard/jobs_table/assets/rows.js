// One job as a row, and the heading of a group of them. What is in a row changes; the row stays.

import { h, say } from "../kit/dom.js";
import { count, duration, reading, status } from "../kit/words.js";

export class Row {
  /** `actions` are {pick(picked), open(), menu(row)}. */
  constructor(job, actions) {
    const name = `${job.name}, …${job.id.slice(-4)}`;
    this.check = h("input", { type: "checkbox", "aria-label": `Pick ${name}`, onchange: () => actions.pick(this.check.checked) });
    this.chip = h("span", { class: "sm3-status" });
    this.open = h("button", { type: "button", class: "sm3-open", title: "Open in Live", onclick: () => actions.open() }, job.name);
    this.with = h("span", { class: "sm3-about" });
    // What a narrow table has no column for.
    this.briefLoss = h("span", { class: "sm3-about sm3-brief" });
    this.briefStep = h("span", { class: "sm3-about sm3-brief sm3-briefer" });
    this.bar = h("i");
    this.track = h("div", { class: "sm3-progress", role: "progressbar", "aria-label": `Progress of ${name}`, "aria-valuemin": "0", "aria-valuemax": "100" }, this.bar);
    this.steps = h("span", { class: "sm3-about" });
    this.loss = h("span", { class: "sm3-number" });
    this.held = h("span", { class: "sm3-about" });
    this.started = h("span", {});
    this.took = h("span", { class: "sm3-about" });
    this.more = h("button", { type: "button", class: "sm3-button sm3-dots", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": `More about ${name}`, onclick: () => actions.menu(this) }, "⋯");
    this.element = h(
      "tr",
      { dataset: { job: job.id } },
      h("td", { class: "sm3-check" }, this.check),
      h("td", {}, this.chip),
      h("td", {}, h("div", { class: "sm3-jobname" }, this.open, h("span", { class: "sm3-about" }, job.id.slice(-4))), this.with, this.briefLoss, this.briefStep),
      h("td", {}, this.track, this.steps),
      h("td", {}, this.loss, this.held),
      h("td", {}, this.started, this.took),
      h("td", { class: "sm3-more" }, this.more),
    );
  }

  draw(job, now, hidden) {
    this.job = job;
    this.element.hidden = hidden;
    const state = status(job, { connected: true, ageS: null, staleAfterS: Infinity, paused: false });
    this.chip.dataset.kind = state.kind;
    say(this.chip, `${state.glyph} ${state.kind === "live" ? "RUNNING" : state.word}`);
    this.chip.title = [job.cause || job.phase, job.warning].filter(Boolean).join(" · ");
    say(this.with, `${job.about}${job.notes ? ` · ✎ ${job.notes}` : ""}`);
    this.with.title = this.with.textContent;
    const share = Math.min(100, (100 * job.step) / job.steps);
    this.bar.style.width = `${share}%`;
    this.track.setAttribute("aria-valuenow", share.toFixed(0));
    say(this.steps, `${count(job.step)} / ${count(job.steps)}${job.eta_s === null ? "" : ` · ${duration(job.eta_s)} left`}`);
    say(this.loss, reading(job.loss));
    say(this.briefLoss, `loss ${reading(job.loss)}`);
    say(this.briefStep, `step ${count(job.step)} / ${count(job.steps)}`);
    say(this.held, job.val_loss === null ? "" : `held out ${reading(job.val_loss)}`);
    const started = Date.parse(job.started_at);
    say(this.started, job.started_at ? ago((now - started) / 1000) : job.priority ? `waits, priority ${job.priority}` : "not yet");
    this.started.title = job.started_at ? new Date(started).toLocaleString() : "";
    say(this.took, job.started_at && job.finished_at ? `took ${duration((Date.parse(job.finished_at) - started) / 1000)}` : "");
  }

  /** Shows whether the job is picked. */
  picked(picked) {
    this.check.checked = picked;
    this.element.classList.toggle("sm3-picked", picked);
  }
}

export class Group {
  /** `actions` are {toggled(), pick(jobs, picked)}. */
  constructor(actions) {
    this.isOpen = true;
    this.check = h("input", { type: "checkbox", onchange: () => actions.pick(this.jobs, this.check.checked) });
    this.name = h("span", { class: "sm3-groupname" });
    this.button = h("button", { type: "button", class: "sm3-fold", "aria-expanded": "true", onclick: () => this.#toggle(actions) }, this.name);
    this.states = h("span", { class: "sm3-about" });
    this.best = h("span", { class: "sm3-groupbest" });
    this.element = h(
      "tr",
      { class: "sm3-group" },
      h("td", { class: "sm3-check" }, this.check),
      h("th", { colSpan: 6, scope: "rowgroup" }, h("div", { class: "sm3-grouphead" }, this.button, this.states, h("span", { class: "sm3-space" }), this.best)),
    );
  }

  draw(group, setting) {
    this.jobs = group.jobs;
    say(this.name, `${setting} ${group.value}`);
    this.check.setAttribute("aria-label", `Pick all of ${setting} ${group.value}`);
    const states = Object.entries(group.states).filter(([, number]) => number).map(([name, number]) => `${count(number)} ${name}`);
    say(this.states, `${count(group.jobs.length)} ${group.jobs.length === 1 ? "job" : "jobs"}: ${states.join(", ")}`);
    const held = group.bestVal === null ? "" : `, held out ${reading(group.bestVal)}`;
    say(this.best, group.best === null ? "no loss yet" : `best loss ${reading(group.best)}${held}`);
  }

  selection(picked) {
    const here = this.jobs.filter((id) => picked.has(id)).length;
    this.check.checked = here > 0 && here === this.jobs.length;
    this.check.indeterminate = here > 0 && here < this.jobs.length;
  }

  #toggle(actions) {
    this.isOpen = !this.isOpen;
    this.button.setAttribute("aria-expanded", String(this.isOpen));
    actions.toggled();
  }
}

function ago(seconds) {
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}
