// What this page knows of one job: fed by the connection, read by the view. No DOM.

import { Glance } from "./glance.js";
import { Series, Smoothed } from "./series.js";
import { decodeMessage } from "./safetensors.js";

export const SPANS = [10, 100, 1000]; // points that a smoothed curve reaches over
const SMOOTHED = ["loss", "grad_norm"];

export class Store {
  constructor() {
    this.job = null;
    this.tensors = [];
    this.frame = null;
    this.frames = 0; // frames received by this page
    this.missed = 0; // frames that the service had to leave out since this page was too slow; their scalars came
    this.moves = []; // changes of the job's state, with their steps
    this.series = new Map();
    this.smoothed = new Map(); // "loss~100" to its curve
    this.glance = new Glance();
    this.kept = null; // the tensor whose series are kept; null keeps all
    this.complete = new Set(); // tensors whose history came: from then on every frame or gap brings all their points
    this.clockOffsetMs = 0;
  }

  /** Takes a text message; returns whether the job's state changed. */
  text(message) {
    if (message.server_time) this.clockOffsetMs = Date.parse(message.server_time) - Date.now();
    if (message.type === "gap" && message.reason !== "away") this.missed += message.last - message.first + 1;
    if (message.type !== "job") return false;
    const before = this.job?.state;
    this.job = message.job;
    if (message.moves) this.moves = message.moves;
    // The list is the same at each change of state; who compares it by identity should not see a new one.
    if (message.tensors && message.tensors.length !== this.tensors.length) this.tensors = message.tensors;
    return before !== this.job.state;
  }

  /** Takes a binary message and returns which it was: "frame", "history", or "stored", which `past` is given. */
  binary(buffer, past) {
    const message = decodeMessage(buffer);
    if (message.kind === "stored") {
      past.take(message); // an old step: no news
      return message.kind;
    }
    if (message.kind === "glance") {
      this.glance.take(message);
      return message.kind;
    }
    for (const [name, points] of message.points) this.#take(name, points, message);
    if (message.kind !== "history") this.glance.extend(message.points);
    if (message.kind === "frame" && !this.#isOlder(message)) {
      this.frame = message;
      this.frames++;
    }
    return message.kind;
  }

  /** Keeps the series of `tensor` and lets those of others go: hundreds of tensors would fill the page's memory. */
  keep(tensor) {
    this.kept = tensor;
    for (const name of this.series.keys()) if (this.#isForeign(name)) this.series.delete(name);
    this.complete = new Set([...this.complete].filter((name) => name === tensor));
  }

  #isForeign(name) {
    const cut = name.indexOf("/");
    return cut >= 0 && this.kept !== null && name.slice(cut + 1) !== this.kept;
  }

  #take(name, points, { kind, thinned }) {
    if (this.#isForeign(name)) return;
    const [raw, span] = name.split("~");
    if (span && SMOOTHED.includes(raw)) {
      this.#smoothedOf(raw, Number(span)).adopt(points, thinned[raw] ?? points.steps.length);
      return;
    }
    if (!this.series.has(name)) this.series.set(name, new Series());
    const series = this.series.get(name);
    const goesOn = kind === "fill" && points.steps[0] > (series.steps[series.length - 1] ?? -1);
    if (kind === "frame" || goesOn) series.append(points);
    else series.merge(points);
    if (kind !== "frame") series.total = Math.max(series.length, kind === "history" ? thinned[name] ?? 0 : series.total);
    if (kind === "history") {
      if (name.includes("/")) this.complete.add(name.slice(name.indexOf("/") + 1));
    }
    if (!SMOOTHED.includes(name)) return;
    for (const width of SPANS) {
      const curve = this.#smoothedOf(name, width);
      if (kind !== "history") curve.extend(points);
      else if (!(name in thinned)) {
        this.smoothed.delete(`${name}~${width}`);
        this.#smoothedOf(name, width).extend(series);
      }
    }
  }

  #smoothedOf(name, span) {
    const key = `${name}~${span}`;
    if (!this.smoothed.has(key)) this.smoothed.set(key, new Smoothed(span));
    return this.smoothed.get(key);
  }

  /** Returns a series' average over about `span` points, of all points that ever were. */
  smooth(name, span) {
    return this.smoothed.get(`${name}~${span}`) ?? new Smoothed(span);
  }

  /** Returns a series, empty when the job has none of that name. */
  get(name) {
    return this.series.get(name) ?? new Series();
  }

  /** Returns the newest step known. */
  get step() {
    return Math.max(this.frame?.step ?? 0, this.job?.progress.step ?? 0);
  }

  /** Returns the newest frame's key as the service reads it (`attempt:seq`), or null before the first. */
  get since() {
    return this.frame && `${this.frame.attempt}:${this.frame.seq}`;
  }

  /** Returns the age in seconds of the newest frame, or null before the first. */
  ageS() {
    const made = this.frame ? 1000 * this.frame.time_s : Date.parse(this.job?.progress.last_frame_at ?? "");
    return Number.isNaN(made) ? null : Math.max(0, (Date.now() + this.clockOffsetMs - made) / 1000);
  }

  /** Returns the age in seconds from which no new frame means trouble: five frames late, and 10 s at the least. */
  get staleAfterS() {
    const between = (this.job?.progress.step_s ?? 0) * (this.job?.spec.record.every ?? 1);
    return Math.max(10, 5 * between);
  }

  /** Returns seconds to the end of the run at the newest pace, or null. */
  get etaS() {
    const pace = this.get("step_s").last ?? this.job?.progress.step_s;
    return pace > 0 && this.job ? (this.job.spec.steps - this.step) * pace : null;
  }

  #isOlder(frame) {
    const shown = this.frame;
    return shown && (frame.attempt < shown.attempt || (frame.attempt === shown.attempt && frame.seq < shown.seq));
  }
}
