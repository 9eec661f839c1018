// What can be done with one job: a menu that opens at its row and outlives refreshes.

import { h } from "../kit/dom.js";

export class RowMenu {
  /** `actions` are {open(job), show(job, tab), clone(job), act(action, job, opener), comparison(id)}. */
  constructor(actions) {
    this.actions = actions;
    this.mayLaunch = true;
    this.element = h("div", { class: "sm3-rowmenu", role: "menu", "aria-label": "Job", hidden: true, onkeydown: (event) => this.#key(event) });
    this.element.addEventListener("focusout", ({ relatedTarget }) => {
      if (!this.element.contains(relatedTarget) && relatedTarget !== this.opener) this.close(false);
    });
  }

  /** Opens the menu of `job` at the button `opener`, within `root`; the same button closes it. */
  open(job, opener, root) {
    if (this.job?.id === job.id) {
      this.close(true);
      return;
    }
    this.close(false);
    this.job = job;
    this.opener = opener;
    opener.setAttribute("aria-expanded", "true");
    this.element.replaceChildren(...this.#items(job).map(([text, act, extra]) =>
      h("button", { type: "button", role: "menuitem", tabIndex: -1, class: `sm3-item ${extra ?? ""}`, onclick: () => this.#chosen(act) }, text)));
    this.element.hidden = false;
    this.#place(opener, root);
    this.element.firstElementChild.focus({ preventScroll: true });
  }

  /** Closes it where it is that of the job `id`, which is no longer listed. */
  forget(id) {
    if (this.job?.id === id) this.close(false);
  }

  close(refocus) {
    if (!this.job) return;
    this.job = null;
    this.opener.setAttribute("aria-expanded", "false");
    if (refocus) this.opener.focus();
    this.element.hidden = true;
  }

  #items(job) {
    const { actions } = this;
    const can = (action, text, extra) => (job.can.includes(action) ? [[text, () => actions.act(action, job, this.opener), extra]] : []);
    const comparison = job.comparison ? [["Only its comparison", () => actions.comparison(job.comparison)]] : [];
    return [
      ["Open in Live", () => actions.open(job)],
      ["Life and settings", () => actions.show(job, "")],
      ["Log", () => actions.show(job, "log")],
      ["Notes and labels", () => actions.show(job, "notes")],
      ["Checkpoints", () => actions.show(job, "checkpoints")],
      ...(this.mayLaunch ? [["Clone and change…", () => actions.clone(job)]] : []),
      ...comparison,
      ...can("pause", "Pause"),
      ...can("resume", "Resume"),
      ...can("cancel", "Stop…", "sm3-danger"),
      ...can("delete", "Delete…", "sm3-danger"),
    ];
  }

  #chosen(act) {
    this.close(true);
    act();
  }

  #place(opener, root) {
    const [at, within] = [opener.getBoundingClientRect(), root.getBoundingClientRect()];
    const below = at.bottom + this.element.offsetHeight + 8 < window.innerHeight;
    this.element.style.top = `${(below ? at.bottom + 4 : Math.max(56, at.top - this.element.offsetHeight - 4)) - within.top}px`;
    this.element.style.right = `${within.right - at.right}px`;
  }

  #key(event) {
    const items = [...this.element.children];
    const here = items.indexOf(document.activeElement);
    const to = { ArrowDown: here + 1, ArrowUp: here - 1 + items.length, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") this.close(true);
    else if (to !== undefined) items[to % items.length].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
