// Events and alerts of a job, newest first; a press shows the tensor and the step.

import { h, say } from "../kit/dom.js";
import { count } from "../kit/words.js";

const MOST = 60;

export class EventsPanel {
  /** `picked(event)` is told of a press. */
  constructor(picked) {
    this.picked = picked;
    this.heading = h("h2", {}, "Events");
    this.about = h("span", { class: "sm3-about" });
    this.list = h("ol", { class: "sm3-events", "aria-label": "Events and alerts, newest first" });
    this.hint = h("p", { class: "sm3-about sm3-noevents" });
    this.element = h("section", { class: "sm3-card sm3-eventcard" }, h("div", { class: "sm3-cardhead" }, this.heading, h("span", { class: "sm3-space" }), this.about), this.hint, this.list);
  }

  /** Shows `events`; touches only what differs, and what was scrolled to stays where it is. */
  draw(events, isLoading) {
    const shown = events.slice(0, MOST);
    const key = JSON.stringify([shown.map(({ id, text }) => [id, text]), isLoading]);
    if (key === this.drawn) return;
    this.drawn = key;
    const alerts = events.filter(({ kind }) => kind !== "move").length;
    say(this.heading, alerts ? `Events · ${count(alerts)} ${alerts === 1 ? "alert" : "alerts"}` : "Events");
    say(this.about, events.length > MOST ? `newest ${MOST}` : "");
    say(this.hint, isLoading ? "Loading…" : "Nothing yet.");
    this.hint.hidden = events.length > 0;
    const below = this.list.scrollTop ? this.list.scrollHeight - this.list.scrollTop : 0;
    const held = new Map([...this.list.children].map((row) => [row.dataset.id, row]));
    const rows = shown.map((event) => this.#row(event, held.get(event.id)));
    const focused = this.list.contains(document.activeElement) ? document.activeElement : null;
    this.list.replaceChildren(...rows);
    focused?.focus();
    if (below) this.list.scrollTop = this.list.scrollHeight - below;
  }

  #row(event, row) {
    if (!row) {
      const parts = ["glyph", "word", "step", "text"].map((name) => h("span", { class: `sm3-event-${name}` }));
      parts[0].setAttribute("aria-hidden", "true");
      row = h("li", { dataset: { id: event.id, kind: event.kind } }, h("button", { type: "button", class: "sm3-event" }, ...parts));
    }
    const button = row.firstElementChild;
    button.onclick = () => this.picked(event);
    button.title = event.text;
    const texts = [event.glyph, event.word, count(event.step), event.text];
    texts.forEach((text, i) => say(button.children[i], text));
    return row;
  }
}
