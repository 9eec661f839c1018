// What can be done with the jobs that are picked. Stopping and deleting ask first, and say what is lost.

import { h, say } from "../kit/dom.js";
import { count } from "../kit/words.js";

const LEAST_TO_COMPARE = 2;
const MOST_TO_COMPARE = 6;
const ASKS = {
  cancel: {
    question: (jobs) => `Stop ${jobs}? What was recorded stays; they cannot be resumed.`,
    yes: "Stop",
    no: "Let them run",
  },
  delete: {
    question: (jobs) => `Delete ${jobs}, with frames, curves, log and checkpoints? There is no way back.`,
    yes: "Delete for good",
    no: "Keep",
  },
};

export class Bulk {
  /** `actions` are {act(action, ids), compare(ids), clear()}. */
  constructor(actions) {
    this.actions = actions;
    this.jobs = [];
    this.said = h("span", { class: "sm3-bulksaid" });
    this.mayLaunch = true;
    this.compare = button("Compare", () => actions.compare(this.jobs.map(({ id }) => id)), "sm3-primary");
    this.buttons = {
      pause: button("Pause", () => this.#go("pause")),
      resume: button("Resume", () => this.#go("resume")),
      cancel: button("Stop…", () => this.#go("cancel")),
      delete: button("Delete…", () => this.#go("delete")),
    };
    this.clear = button("Clear", () => actions.clear());
    this.choices = h("span", { class: "sm3-bulkchoices" }, this.compare, ...Object.values(this.buttons), this.clear);
    this.question = h("span", { id: "sm3-question" });
    this.yes = button("", () => this.#answer(true), "sm3-danger");
    this.no = button("", () => this.#answer(false));
    this.asking = h("div", { class: "sm3-asking", role: "alertdialog", "aria-labelledby": "sm3-question", hidden: true, onkeydown: (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.#answer(false);
    } }, this.question, this.no, this.yes);
    this.element = h("div", { class: "sm3-bulk", role: "group", "aria-label": "Jobs that are picked" }, this.said, this.choices, this.asking);
  }

  get invitation() {
    return this.mayLaunch ? "Pick jobs to compare, pause, resume, stop or delete them." : "Pick jobs to compare them.";
  }

  /** Shows what can be done with `jobs`, each {id, can}; `most` is how many can be picked. */
  draw(jobs, most = this.most) {
    this.jobs = jobs;
    this.most = most;
    const picked = jobs.length;
    say(this.said, picked ? `${count(picked)} picked${picked < most ? "" : ", the most there can be"}` : this.invitation);
    this.said.hidden = this.choices.hidden = !this.asking.hidden;
    if (!picked) this.choices.hidden = true;
    const words = { pause: "Pause", resume: "Resume", cancel: "Stop", delete: "Delete" };
    for (const [action, element] of Object.entries(this.buttons)) {
      const able = this.#able(action).length;
      element.disabled = !able;
      element.hidden = !this.mayLaunch;
      say(element, `${words[action]}${able && able < picked ? ` ${count(able)}` : ""}${action in ASKS ? "…" : ""}`);
    }
    this.compare.disabled = picked < LEAST_TO_COMPARE || picked > MOST_TO_COMPARE;
    this.compare.title = `Compare takes ${LEAST_TO_COMPARE} to ${MOST_TO_COMPARE} jobs`;
  }

  /** Does `action` with `jobs`, after a question where something is lost; `opener` gets the focus back. */
  want(action, jobs, opener) {
    if (!(action in ASKS)) {
      this.actions.act(action, jobs.map(({ id }) => id));
      return;
    }
    const { question, yes, no } = ASKS[action];
    this.wanted = { action, jobs, opener };
    say(this.question, question(jobs.length === 1 ? `${jobs[0].name}, …${jobs[0].id.slice(-4)}` : `${count(jobs.length)} jobs`));
    say(this.yes, yes);
    say(this.no, no);
    this.asking.hidden = false;
    this.draw(this.jobs);
    this.no.focus();
  }

  #able(action) {
    return this.jobs.filter(({ can }) => can.includes(action));
  }

  #go(action) {
    this.want(action, this.#able(action), this.buttons[action]);
  }

  #answer(yes) {
    const { action, jobs, opener } = this.wanted;
    this.asking.hidden = true;
    this.draw(this.jobs);
    if (opener?.isConnected) opener.focus();
    if (yes) this.actions.act(action, jobs.map(({ id }) => id));
  }
}

function button(text, onclick, extra = "") {
  return h("button", { type: "button", class: `sm3-button ${extra}`, onclick }, text);
}
