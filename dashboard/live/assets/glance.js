// A few points of one statistic of every tensor, and what is wrong with any of them. No DOM.

import { Series } from "./series.js";

const POINTS = 96;
export const MOSTLY = 0.5; // share of saturated sets from which on a tensor counts as saturated
const COUNTS = new Set(["nonfinite", "nonfinite_mu", "poisoned"]);

export class Glance {
  constructor() {
    this.statistic = null;
    this.series = new Map(); // tensor to its points of the statistic
    this.counts = new Map(); // "nonfinite/NAME", …, "saturated/NAME" to where it changed
    this.version = 0;
  }

  /** Takes the service's answer. */
  take({ statistic, points }) {
    this.statistic = statistic;
    this.series = new Map();
    this.counts = new Map();
    for (const [name, these] of points) this.#add(name, these);
    this.version++;
  }

  /** Goes on with a frame's points. */
  extend(points) {
    if (!this.statistic) return;
    for (const [name, these] of points) this.#add(name, these);
    this.version++;
  }

  #add(name, points) {
    const cut = name.indexOf("/");
    if (cut < 0 || !points.steps.length) return;
    const [statistic, tensor] = [name.slice(0, cut), name.slice(cut + 1)];
    if (statistic === this.statistic) into(this.series, tensor).append(points);
    if (COUNTS.has(statistic)) this.#change(name, points, (value) => value);
    else if (statistic === "saturated") this.#change(name, points, (value) => Number(value >= MOSTLY));
  }

  /** Keeps where a state differs from the one before, which at first is 0. */
  #change(name, { steps, values }, state) {
    let held = this.counts.get(name);
    for (let i = 0; i < steps.length; i++) {
      if (state(values[i]) === state(held?.last ?? 0)) continue;
      held ??= into(this.counts, name);
      held.append({ steps: [steps[i]], values: [values[i]] });
    }
  }
}

function into(map, name) {
  if (!map.has(name)) map.set(name, new Series(POINTS));
  return map.get(name);
}
