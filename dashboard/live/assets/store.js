// What this page knows of one job: fed by the connection, read by the view. No DOM.

import { Series } from "./series.js";
import { decodeMessage } from "./safetensors.js";

export class Store {
  constructor() {
    this.job = null;
    this.tensors = [];
    this.frame = null;
    this.frames = 0; // frames received by this page
    this.missed = 0; // frames that the service had to leave out since this page was too slow; their scalars came
    this.series = new Map();
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
    if (message.tensors) this.tensors = message.tensors;
    return before !== this.job.state;
  }

  /** Takes a binary message and returns which it was: "frame", "history", or "stored", which `past` is given. */
  binary(buffer, past) {
    const message = decodeMessage(buffer);
    if (message.kind === "stored") {
      past.take(message); // an old step: no news
      return message.kind;
    }
    for (const [name, points] of message.points) {
      if (!this.series.has(name)) this.series.set(name, new Series());
      const series = this.series.get(name);
      if (message.kind === "history") {
        series.merge(points);
        if (name.includes("/")) this.complete.add(name.slice(name.indexOf("/") + 1));
      } else series.append(points);
    }
    if (message.kind === "frame" && !this.#isOlder(message)) {
      this.frame = message;
      this.frames++;
    }
    return message.kind;
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
