// The board of the System page. Elements are made once and kept: a refresh changes texts and lengths, never places.

import { h, say, whenGone } from "../kit/dom.js";
import { firstDrawn } from "../kit/timing.js";
import { Gauges } from "./gauges.js";
import { Slots } from "./slots.js";

const boards = new WeakMap();

export default function board({ data, parentElement, setTriggerValue }) {
  let view = boards.get(parentElement);
  if (!view) {
    view = new Board();
    boards.set(parentElement, view);
    parentElement.append(view.element);
  }
  view.ask = setTriggerValue;
  view.draw(data);
  firstDrawn("system");
  return whenGone(parentElement, () => {
    view.element.remove();
    boards.delete(parentElement);
  });
}

class Board {
  constructor() {
    const open = (job) => this.ask("open", { job, at: Date.now() });
    this.headline = h("h1", {});
    this.status = h("span", { class: "sm3-status", role: "status" });
    this.detail = h("p", { class: "sm3-about" });
    this.elsewhere = h("p", { class: "sm3-elsewhere" });
    this.slots = new Slots(open);
    this.queue = h("ol", { class: "sm3-queue" });
    this.queueNote = h("p", { class: "sm3-about" });
    this.checks = h("ul", { class: "sm3-checks" });
    this.machine = new Gauges();
    this.ingest = new Gauges();
    this.store = new Gauges();
    this.open = open;
    this.element = h(
      "div",
      { class: "sm3 sm3-board" },
      h("header", {}, h("div", {}, this.headline, this.detail), h("span", { class: "sm3-space" }), this.status),
      card("Slots", "sm3-slotcard", this.elsewhere, this.slots.element),
      h(
        "div",
        { class: "sm3-columns" },
        card("Machine", "", this.machine.element),
        card("What comes in", "", this.ingest.element),
        card("What is stored", "", this.store.element),
        card("Queue", "sm3-queuecard", this.queue, this.queueNote),
        card("Readiness", "sm3-checkcard", this.checks),
      ),
    );
  }

  /** Takes what Python says; see `dashboard.figures.system.Board`. */
  draw(data) {
    say(this.headline, data.headline);
    say(this.detail, data.detail);
    const [kind, words] = data.status;
    this.status.dataset.kind = kind;
    say(this.status, words);
    this.element.dataset.kind = kind;
    say(this.elsewhere, data.elsewhere);
    this.elsewhere.hidden = !data.elsewhere;
    this.slots.draw(data);
    this.#drawQueue(data.waiting);
    say(this.queueNote, data.queue_note);
    this.queueNote.hidden = !data.queue_note;
    this.machine.draw(data.machine);
    this.ingest.draw(data.ingest);
    this.store.draw(data.store);
    this.#drawChecks(data.checks);
    this.element.dataset.draws = String(Number(this.element.dataset.draws ?? 0) + 1);
  }

  #drawQueue(jobs) {
    fill(this.queue, jobs.length, () => {
      const row = h("li", {}, h("span", { class: "sm3-place" }), h("button", { type: "button", class: "sm3-open", title: "Open in Live" }), h("span", { class: "sm3-about" }));
      row.children[1].onclick = () => this.open(row.dataset.job);
      return row;
    });
    jobs.forEach(({ id, name, detail, position }, k) => {
      const row = this.queue.children[k];
      row.dataset.job = id;
      say(row.children[0], String(position));
      say(row.children[1], name);
      say(row.children[2], detail);
    });
  }

  #drawChecks(checks) {
    fill(this.checks, checks.length, () => h("li", {}, h("span", { class: "sm3-sign" }), h("strong", {}), h("span", {})));
    checks.forEach(([sign, verdict, name, found], k) => {
      const row = this.checks.children[k];
      row.dataset.verdict = verdict;
      say(row.children[0], sign);
      row.children[0].title = verdict;
      say(row.children[1], name);
      say(row.children[2], found);
    });
  }
}

function card(title, kind, ...inside) {
  return h("section", { class: `sm3-card ${kind}` }, h("div", { class: "sm3-cardhead" }, h("h2", {}, title)), ...inside);
}

function fill(list, count, make) {
  while (list.children.length > count) list.lastChild.remove();
  while (list.children.length < count) list.append(make());
}
