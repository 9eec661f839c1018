// The row below the map: from frame to frame, playing, and step A of a comparison.

import { caption, h, say } from "../kit/dom.js";
import { count } from "../kit/words.js";
import { indexOf, numFrames, stepOf } from "../kit/steps.js";

const TEXT = "\uFE0E"; // these signs as text, not as pictures

export class Scrubber {
  /** `actions` are {go(step|null), play(), pinA(step|null), swap()}; null is the newest, or no comparison. */
  constructor(actions) {
    this.actions = actions;
    this.back = button(`◀${TEXT}`, "The frame before (←)", () => this.#by(-1));
    this.play = button(`▶${TEXT}`, "", () => actions.play());
    this.on = button(`▶${TEXT}|`, "The next frame (→)", () => this.#by(1));
    this.slider = h("input", { type: "range", class: "sm3-slider", min: "0", max: "0", step: "1", "aria-label": "Step of the map", oninput: () => this.#to(Number(this.slider.value)) });
    this.mark = h("i", { class: "sm3-amark", hidden: true, "aria-hidden": "true" }, "A");
    this.where = h("span", { class: "sm3-where", role: "status" });
    this.newest = button("Newest", "Go back to the newest frame (End)", () => actions.go(null));
    this.pin = button("Pin A", "Hold this step as A, then move on to see what changed", () => this.#pin());
    this.swap = button(`⇄${TEXT}`, "Swap A and B", () => actions.swap());
    this.clear = button("✕", "End the comparison", () => actions.pinA(null));
    this.element = h(
      "div",
      { class: "sm3-scrubber", role: "group", "aria-label": "Step of the map" },
      h("span", { class: "sm3-moves" }, this.back, this.play, this.on),
      h("span", { class: "sm3-track" }, this.slider, this.mark),
      this.where,
      this.newest,
      h("span", { class: "sm3-ab", role: "group", "aria-label": "Compare two steps" }, this.swap, this.clear, this.pin),
    );
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Shows where the map is: `step` of `newest`, frames being made `every` steps; `a` is step A or null. */
  draw(now) {
    const key = JSON.stringify(now);
    if (key === this.drawn) return;
    this.drawn = key;
    this.now = now;
    const { newest, every, step, isPinned, isReading, isPlaying, a } = now;
    const frames = numFrames(every, newest);
    const index = indexOf(step, every, newest);
    this.element.classList.toggle("sm3-off", frames < 2);
    for (const control of [this.slider, this.play, this.pin]) control.disabled = frames < 2;
    this.back.disabled = index <= 0;
    this.on.disabled = newest === 0 || !isPinned;
    this.slider.max = String(Math.max(0, frames - 1));
    this.slider.value = String(index);
    this.slider.setAttribute("aria-valuetext", `step ${count(step)} of ${count(newest)}${isPinned ? ", pinned" : ", the newest"}`);
    say(this.where, `${isPinned ? `${isReading ? "reading" : "pinned at"} ` : ""}step ${count(step)} of ${count(newest)}`);
    this.newest.style.visibility = isPinned ? "" : "hidden";
    say(this.play, `${isPlaying ? "▮▮" : "▶"}${TEXT}`);
    caption(this.play, isPlaying ? "Stop playing (space)" : isPinned ? "Play from here (space)" : "Play from the first frame (space)");
    this.play.setAttribute("aria-pressed", String(isPlaying));
    this.#drawA(a, frames, every, newest, step);
  }

  #drawA(a, frames, every, newest, step) {
    const on = a !== null;
    say(this.pin, on ? `A ${count(Math.min(a, newest))}` : "Pin A");
    caption(this.pin, on ? `A is step ${count(Math.min(a, newest))}, B step ${count(step)}; press to make this step A` : "Hold this step as A, then move on to see what changed");
    this.pin.setAttribute("aria-pressed", String(on));
    this.mark.hidden = !on;
    for (const control of [this.swap, this.clear]) control.style.visibility = on ? "" : "hidden"; // its place is kept: nothing moves
    if (on) this.mark.style.setProperty("--at", String(frames > 1 ? indexOf(a, every, newest) / (frames - 1) : 0));
  }

  #pin() {
    this.actions.pinA(this.now.step);
  }

  #by(frames) {
    const { step, every, newest } = this.now;
    const index = indexOf(step, every, newest);
    // Between two frames of the grid, back is the one at or before it.
    this.#to(frames < 0 && stepOf(index, every, newest) < step ? index : index + frames);
  }

  #to(index) {
    const { every, newest } = this.now;
    const last = numFrames(every, newest) - 1;
    this.actions.go(index >= last ? null : stepOf(Math.max(0, index), every, newest));
  }

  #key(event) {
    const { now } = this;
    const isSlider = event.target === this.slider;
    const moves = { ArrowLeft: () => this.#by(-1), ArrowRight: () => this.#by(1), ArrowDown: () => this.#by(-1), ArrowUp: () => this.#by(1), Home: () => this.#to(0), End: () => this.actions.go(null) };
    if (!now || numFrames(now.every, now.newest) < 2) return;
    if (event.key === " " && isSlider) this.actions.play();
    else if (moves[event.key]) moves[event.key]();
    else return;
    event.preventDefault();
  }
}

function button(text, title, onclick) {
  return h("button", { type: "button", class: "sm3-chip", title, "aria-label": title, onclick }, text);
}
