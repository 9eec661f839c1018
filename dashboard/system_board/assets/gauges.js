// Numbers with their share of a whole, and their past since this page was opened.

import { h, say } from "../kit/dom.js";

const KEPT = 150; // five minutes at a reading each two seconds
const [WIDTH, HEIGHT] = [96, 24];

export class Gauges {
  constructor() {
    this.gauges = new Map();
    this.element = h("dl", { class: "sm3-gauges" });
  }

  draw(listed) {
    for (const [key, gauge] of this.gauges) {
      if (listed.some((each) => each.key === key)) continue;
      gauge.element.remove();
      this.gauges.delete(key);
    }
    for (const each of listed) {
      if (!this.gauges.has(each.key)) {
        this.gauges.set(each.key, new Gauge());
        this.element.append(this.gauges.get(each.key).element);
      }
      this.gauges.get(each.key).draw(each);
    }
  }
}

class Gauge {
  constructor() {
    this.past = [];
    this.label = h("dt", {});
    this.value = h("strong", {});
    this.note = h("span", { class: "sm3-about" });
    this.bar = h("i");
    this.share = h("div", { class: "sm3-progress" }, this.bar);
    this.line = svg("polyline", { fill: "none", "stroke-width": 1.5, "vector-effect": "non-scaling-stroke" });
    this.trend = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "sm3-trend", "aria-hidden": "true", preserveAspectRatio: "none" }, this.line);
    this.element = h("div", { class: "sm3-gauge" }, this.label, h("dd", {}, this.value, this.note, this.share), this.trend);
  }

  draw({ label, value, note, about, share, trend, is_bad: isBad }) {
    say(this.label, label);
    say(this.value, value);
    say(this.note, note);
    this.note.title = note;
    this.element.title = about;
    this.element.dataset.bad = String(isBad);
    this.share.style.visibility = share === null ? "hidden" : "";
    this.bar.style.width = `${100 * (share ?? 0)}%`;
    if (trend !== null) this.past.push(trend);
    this.trend.style.visibility = trend === null || this.past.length < 2 ? "hidden" : ""; // one reading would be a speck
    if (trend === null) return;
    if (this.past.length > KEPT) this.past.shift();
    this.line.setAttribute("points", points(this.past));
  }
}

/** Returns the past as points of a line, its newest at the right, 0 at the bottom. */
export function points(past) {
  const most = Math.max(...past, 1e-9);
  return past.map((value, k) => `${(WIDTH - (past.length - 1 - k) * (WIDTH / (KEPT - 1))).toFixed(1)},${(HEIGHT - 1 - (HEIGHT - 2) * (value / most)).toFixed(1)}`).join(" ");
}

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}
