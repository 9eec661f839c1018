// The list of jobs: what is asked of the service by filters, shown in rows that keep their place and their focus.

import { h, say, whenGone } from "../kit/dom.js";
import { firstDrawn } from "../kit/timing.js";
import { Bulk } from "./bulk.js";
import { Group, Row } from "./rows.js";
import { RowMenu } from "./row_menu.js";
import { Toolbar } from "./toolbar.js";

const pages = new WeakMap();
const COLUMNS = [
  { name: "State", sort: "state" },
  { name: "Job", sort: "name" },
  { name: "Progress", sort: "progress" },
  { name: "Loss, nats", sort: "loss" },
  { name: "Started", sort: "started" },
];
const PICKED_AFTER_MS = 150;
const FOCUS_WITHIN_MS = 4000;

export default function table({ data, parentElement, setTriggerValue }) {
  let page = pages.get(parentElement);
  if (!page) {
    page = new JobsPage();
    pages.set(parentElement, page);
    parentElement.append(page.element);
  }
  page.ask = setTriggerValue;
  page.draw(data);
  firstDrawn("jobs");
  return whenGone(parentElement, () => {
    page.close();
    page.element.remove();
    pages.delete(parentElement);
  });
}

class JobsPage {
  constructor() {
    this.rows = new Map();
    this.groups = new Map();
    this.picked = new Set();
    this.pending = {}; // values of the address that were asked for and have not come back yet
    this.acts = []; // what is to be done and has not been answered yet
    this.askedAt = 0;
    this.trail = []; // cursors of the newer pages
    this.message = h("h1");
    this.problem = h("p", { class: "sm3-stalenote", role: "alert", hidden: true });
    this.notice = h("p", { class: "sm3-notice", role: "status" });
    this.toolbar = new Toolbar((changes) => this.view(changes));
    this.bulk = new Bulk({
      act: (action, jobs) => this.#act(action, jobs),
      compare: (jobs) => this.ask("go", { page: "compare", jobs, at: Date.now() }),
      clear: () => this.#pick([...this.picked], false),
    });
    this.menu = new RowMenu({
      open: (job) => this.ask("go", { page: "live", jobs: [job.id], at: Date.now() }),
      show: (job, tab) => this.view({ job: job.id, tab, clone: "", launch: "" }),
      clone: (job) => this.view({ clone: job.id, job: "", launch: "", tab: "" }),
      act: (action, job, opener) => this.bulk.want(action, [job], opener),
      comparison: (id) => this.view({ comparison: id, after: "" }),
    });
    this.all = h("input", { type: "checkbox", "aria-label": "Pick all jobs shown", onchange: () => this.#pick([...this.rows.keys()], this.all.checked) });
    this.heads = COLUMNS.map((column) => {
      const button = h("button", { type: "button", class: "sm3-sort", onclick: () => this.#sort(column.sort) });
      return { ...column, button, cell: h("th", { scope: "col" }, button) };
    });
    this.body = h("tbody");
    this.table = h(
      "table",
      {},
      h("caption", { class: "sm3-unseen" }, "Jobs"),
      h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "sm3-check" }, this.all), ...this.heads.map(({ cell }) => cell), h("td", { class: "sm3-more" }))),
      this.body,
    );
    this.newer = h("button", { type: "button", class: "sm3-button", onclick: () => this.view({ after: this.trail.pop() ?? "" }) }, "‹ Newer");
    this.older = h("button", { type: "button", class: "sm3-button", onclick: () => this.#older() }, "Older ›");
    this.element = h(
      "section",
      { class: "sm3 sm3-jobs", "aria-label": "Jobs" },
      h("header", { class: "sm3-jobshead" }, this.message, this.toolbar.launch),
      this.problem,
      this.notice,
      this.toolbar.element,
      this.bulk.element,
      h("div", { class: "sm3-jobtable" }, this.table),
      h("nav", { class: "sm3-pager", "aria-label": "Pages of the list" }, this.newer, this.older),
      this.menu.element,
    );
    this.onKey = (event) => this.#key(event);
    document.addEventListener("keydown", this.onKey);
  }

  close() {
    document.removeEventListener("keydown", this.onKey);
    clearTimeout(this.timer);
  }

  /** Asks for other values in the address; what is still on its way is sent along, so that nothing gets lost. */
  view(changes) {
    this.pending = { ...this.pending, ...changes };
    this.#send();
    if (changes.launch || changes.job || changes.clone) this.opener = document.activeElement;
  }

  #act(action, jobs) {
    this.acts.push({ id: Math.max(Date.now(), (this.acts.at(-1)?.id ?? 0) + 1), action, jobs });
    this.#send();
  }

  /** Sends all that has not been answered: of two triggers that meet, Streamlit may pass on the later one alone. */
  #send() {
    this.askedAt = Math.max(Date.now(), this.askedAt + 1);
    this.ask("view", { changes: this.pending, acts: this.acts, at: this.askedAt });
  }

  draw(data) {
    if (data.seen >= this.askedAt) {
      this.pending = {};
      this.acts = [];
    }
    const waits = Object.keys(this.pending).length > 0 && Date.now() - this.askedAt < 5000;
    if (!waits) this.#address(data.query);
    this.data = data;
    say(this.message, data.message);
    say(this.problem, data.problem ? `▲ STALE · ${data.problem}` : "");
    this.problem.hidden = !data.problem;
    say(this.notice, data.notices.join(" "));
    this.element.dataset.stale = String(Boolean(data.problem));
    this.toolbar.draw(data, waits);
    this.menu.mayLaunch = this.bulk.mayLaunch = data.mayLaunch;
    this.#heads(data.query.sort);
    this.#rows(data);
    this.#selection();
    this.newer.hidden = !data.query.after;
    this.older.hidden = !data.older;
    this.table.hidden = !data.rows.length;
  }

  /** Takes over what only the address says: the selection and which panel is open. */
  #address(query) {
    const picked = query.picked.join();
    if (picked !== [...this.picked].join()) this.picked = new Set(query.picked);
    const panel = query.job || query.clone || (query.launch ? "launch" : "");
    if (this.panel !== undefined && panel !== this.panel) this.#focus(panel);
    this.panel = panel;
  }

  /** Moves the focus into the drawer that opens, and back to where it was asked for once it is closed. */
  #focus(panel, until = Date.now() + FOCUS_WITHIN_MS) {
    const close = document.querySelector(".st-key-drawer-close button");
    if (!panel) {
      if (this.opener?.isConnected) this.opener.focus();
    } else if (close) close.focus();
    else if (Date.now() < until) setTimeout(() => this.#focus(panel, until), 100);
  }

  #rows({ rows, groups, now }) {
    const kept = new Set(rows.map(({ id }) => id));
    for (const [id, row] of this.rows) {
      if (kept.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
      this.menu.forget(id);
    }
    const shown = new Set(groups.map(({ value }) => value));
    for (const [value, group] of this.groups) {
      if (shown.has(value)) continue;
      group.element.remove();
      this.groups.delete(value);
    }
    const heads = new Map(groups.map((group) => [group.jobs[0], group]));
    let place = 0;
    let hidden = false;
    for (const job of rows) {
      const head = heads.get(job.id);
      if (head) {
        const group = this.#group(head);
        this.#put(group.element, place++);
        hidden = !group.isOpen;
      }
      const row = this.#row(job);
      this.#put(row.element, place++);
      row.draw(job, Date.parse(now), hidden);
    }
  }

  #row(job) {
    if (!this.rows.has(job.id)) {
      this.rows.set(job.id, new Row(job, {
        pick: (picked) => this.#pick([job.id], picked),
        open: () => this.ask("go", { page: "live", jobs: [job.id], at: Date.now() }),
        menu: (row) => this.menu.open(row.job, row.more, this.element),
      }));
    }
    return this.rows.get(job.id);
  }

  #group(head) {
    if (!this.groups.has(head.value)) {
      this.groups.set(head.value, new Group({ toggled: () => this.#rows(this.data), pick: (jobs, picked) => this.#pick(jobs, picked) }));
    }
    const group = this.groups.get(head.value);
    group.draw(head, this.data.query.group, this.picked);
    return group;
  }

  /** Puts a row at its place, and touches the page only when it is not there. */
  #put(element, place) {
    if (this.body.children[place] !== element) this.body.insertBefore(element, this.body.children[place] ?? null);
  }

  #pick(jobs, picked) {
    for (const id of jobs) {
      if (!picked) this.picked.delete(id);
      else if (this.picked.size < this.data.maxPicked) this.picked.add(id);
    }
    this.pending = { ...this.pending, picked: [...this.picked].join() };
    this.#selection();
    clearTimeout(this.timer);
    this.askedAt = Math.max(Date.now(), this.askedAt + 1);
    this.timer = setTimeout(() => this.view({ picked: [...this.picked].join() }), PICKED_AFTER_MS);
  }

  #selection() {
    for (const [id, row] of this.rows) row.picked(this.picked.has(id));
    const here = [...this.rows.keys()].filter((id) => this.picked.has(id)).length;
    this.all.checked = here > 0 && here === this.rows.size;
    this.all.indeterminate = here > 0 && here < this.rows.size;
    for (const group of this.groups.values()) group.selection(this.picked);
    this.bulk.draw([...this.picked].map((id) => this.rows.get(id)?.job ?? { id, can: [], name: "" }), this.data.maxPicked);
  }

  #heads(sort) {
    for (const { name, sort: by, button, cell } of this.heads) {
      const order = sort === by ? "ascending" : sort === `-${by}` ? "descending" : "none";
      cell.setAttribute("aria-sort", order);
      say(button, `${name}${{ none: "", ascending: " ▲", descending: " ▼" }[order]}`);
    }
  }

  /** Orders by a column: upwards, then downwards, then newest first again. */
  #sort(by) {
    const next = { "": by, [by]: `-${by}`, [`-${by}`]: "" };
    this.view({ sort: next[this.data.query.sort] ?? by });
  }

  #older() {
    this.trail.push(this.data.query.after);
    this.view({ after: this.data.older });
  }

  #key(event) {
    if (event.key !== "Escape" || !this.panel) return;
    const inside = event.target.closest?.(".st-key-jobs_drawer");
    if (inside && !event.target.matches("input, textarea, [role='combobox']")) this.view({ launch: "", job: "", clone: "", tab: "" });
  }
}
