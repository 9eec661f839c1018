// Playing: from frame to frame up to the newest, no faster than they come. No DOM.

import { indexOf, numFrames, stepOf, stride } from "./steps.js";

const EVERY_MS = 250;

export class Player {
  /**
   * `where()` returns {shown, isPinned, isHere, newest, every}, or null while there is nothing; `isHere` is false while a
   * frame that was asked for is on its way. `go(step)` asks for the frame of a step, null for the newest. `changed()`
   * is told when playing starts or ends. `pictures` is about how many a whole job is played in.
   */
  constructor({ where, go, changed, pictures = 120 }) {
    Object.assign(this, { where, go, changed, pictures });
    this.timer = null;
  }

  /** Whether it plays. */
  get isOn() {
    return this.timer !== null;
  }

  /** Plays from where the view is pinned, else from the first frame; or stops. */
  toggle() {
    const at = this.where();
    if (this.isOn || !at) {
      this.stop();
      return;
    }
    this.timer = setInterval(() => this.#tick(), EVERY_MS);
    if (!at.isPinned) this.go(stepOf(0, at.every, at.newest));
    this.changed();
  }

  /** Stops playing. */
  stop() {
    if (!this.isOn) return;
    clearInterval(this.timer);
    this.timer = null;
    this.changed();
  }

  #tick() {
    const { shown, isHere, newest, every } = this.where();
    if (!isHere) return; // nothing is skipped
    const step = stepOf(indexOf(shown, every, newest) + stride(numFrames(every, newest), this.pictures), every, newest);
    if (step < newest) {
      this.go(step);
      return;
    }
    this.stop();
    this.go(null);
  }
}
