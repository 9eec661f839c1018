// A row of boxes, one a slot. A job keeps the box it was first seen in, so that nothing moves when another ends.

import { h, say } from "../kit/dom.js";

export class Slots {
  constructor(open) {
    this.open = open;
    this.places = new Map(); // job id to box
    this.more = h("p", { class: "sm3-about" });
    this.row = h("div", { class: "sm3-slots", role: "list", "aria-label": "Slots" });
    this.element = h("div", {}, this.row, this.more);
  }

  draw({ working, slots, hidden_slots: hidden, elsewhere }) {
    place(this.places, working.map(({ id }) => id));
    const boxes = Math.max(slots, 0, ...[...this.places.values()].map((k) => k + 1));
    while (this.row.children.length > boxes) this.row.lastChild.remove();
    while (this.row.children.length < boxes) this.row.append(this.#box());
    const by = new Map(working.map((job) => [this.places.get(job.id), job]));
    [...this.row.children].forEach((box, k) => this.#fill(box, k, by.get(k), Boolean(elsewhere)));
    say(this.more, hidden > 0 ? `and ${hidden} more, free` : "");
    this.more.hidden = hidden <= 0;
  }

  #box() {
    const job = h("button", { type: "button", class: "sm3-open", title: "Open in Live" });
    const box = h(
      "div",
      { class: "sm3-slot", role: "listitem" },
      h("span", { class: "sm3-place" }),
      job,
      h("div", { class: "sm3-progress" }, h("i")),
      h("span", { class: "sm3-about" }),
    );
    job.onclick = () => this.open(box.dataset.job);
    return box;
  }

  #fill(box, k, job, elsewhere) {
    const [number, name, progress, detail] = box.children;
    box.dataset.busy = String(Boolean(job));
    box.dataset.job = job?.id ?? "";
    say(number, elsewhere ? (job ? "●" : "") : String(k + 1));
    name.hidden = !job;
    say(name, job?.name ?? "");
    progress.style.visibility = job ? "" : "hidden";
    progress.firstChild.style.width = `${100 * (job?.share ?? 0)}%`;
    say(detail, job?.detail ?? "free");
    detail.title = job?.detail ?? "";
  }
}

/** Changes `places` (id to number) so that it has just `ids`: those there before keep theirs, new ones take the lowest. */
export function place(places, ids) {
  const wanted = new Set(ids);
  for (const id of places.keys()) if (!wanted.has(id)) places.delete(id);
  const taken = new Set(places.values());
  for (const id of ids) {
    if (places.has(id)) continue;
    let k = 0;
    while (taken.has(k)) k++;
    taken.add(k);
    places.set(id, k);
  }
}
