// Where in the job the map looks: which statistic, which step, against which other step. It finds the frames for it, plays
// them and keeps the address. What it draws with is scrubber.js and mode_bar.js.

import { Player } from "../kit/player.js";
import { write } from "./address.js";
import { ModeBar } from "./mode_bar.js";
import { Past } from "./past.js";
import { NOWHERE, readPlace, writePlace } from "./place.js";
import { Scrubber } from "./scrubber.js";

const ADDRESS_AFTER_MS = 300; // browsers refuse an address that changes with every pixel of a slider

export class Look {
  /** `say(message)` asks the service and returns whether it could; `changed()` draws; `address()` is what else the address says. */
  constructor({ say, changed, address }) {
    Object.assign(this, { changed, address });
    this.place = NOWHERE;
    this.problem = "";
    this.player = new Player({ where: () => this.last, go: (step) => this.#go({ step }), changed: () => this.last && this.changed() });
    this.past = new Past({ say, came: changed });
    this.modes = new ModeBar((mode) => this.#go({ mode }));
    this.scrubber = new Scrubber({
      go: (step) => this.#move(step),
      play: () => this.player.toggle(),
      pinA: (step) => this.#go({ a: step }),
      swap: () => this.#swap(),
    });
    this.modes.draw(this.place.mode);
  }

  /** Begins another job at the place `given`, as texts of the address. */
  open(given) {
    this.player.stop();
    this.past.clear();
    this.last = null;
    ({ place: this.place, problem: this.problem } = readPlace(given));
    this.modes.draw(this.place.mode);
  }

  /** Goes to `step` and stays there. */
  show(step) {
    this.#move(step);
  }

  /** Goes back to the newest frame. */
  follow() {
    this.#move(null);
  }

  /** Stops playing; the page has left. */
  stop() {
    this.player.stop();
    clearTimeout(this.writing);
  }

  /**
   * Returns what the map shows of `tensor`: {tensor, mode, frame, known, other, otherKnown, steps: {a, b}, isReading,
   * problem, key}; while the parts of `key` are the same ones there is nothing new to draw.
   *
   * `live` is the newest frame that may be shown. `frame` is null while it is on its way (then what is shown stays), and
   * `other`, that of step A, null without a comparison.
   */
  scene(tensor, live, store) {
    const newest = live?.step ?? 0;
    const every = store.job.spec.record.every;
    const { mode, step, a } = this.place;
    const isPinned = step !== null && step < newest;
    const frame = isPinned ? this.past.at(tensor.name, step, "shown") : live;
    const shown = isPinned ? (frame?.step ?? step) : newest;
    const other = a === null || !live ? null : a >= newest ? live : this.past.at(tensor.name, a, "a");
    const compares = other !== null && other.step !== frame?.step;
    const known = (at) => knownAt(at, tensor, store);
    this.last = { newest, every, shown, isPinned, isHere: frame !== null };
    this.scrubber.draw({ newest, every, step: shown, isPinned, isReading: live !== null && frame === null, isPlaying: this.player.isOn, a });
    const isReading = live !== null && (frame === null || (a !== null && other === null));
    return {
      tensor,
      mode,
      frame,
      known: known(frame),
      other: compares ? other : null,
      otherKnown: compares ? known(other) : null,
      steps: { a: other?.step, b: frame?.step },
      isReading,
      problem: this.problem,
      key: [mode, frame, compares && other, isReading, this.problem, store.complete.has(tensor.name)],
    };
  }

  /** The step at which the map is held although newer ones are there, or null. */
  get pinned() {
    return this.last?.isPinned ? this.last.shown : null;
  }

  #move(step) {
    this.player.stop();
    this.#go({ step });
  }

  #go(change) {
    this.problem = "";
    this.place = { ...this.place, ...change };
    this.modes.draw(this.place.mode);
    clearTimeout(this.writing);
    this.writing = setTimeout(() => this.#write(), ADDRESS_AFTER_MS);
    this.changed();
  }

  #swap() {
    const { shown, newest } = this.last;
    const { a } = this.place;
    this.player.stop();
    this.#go({ a: shown, step: a >= newest ? null : a });
  }

  #write() {
    write({ ...this.address(), ...writePlace(this.place) });
  }
}

// The learning rate is the frame's own: a long history may have been thinned.
function knownAt(frame, tensor, store) {
  const estimate = (name) => {
    const series = store.get(`${name}/${tensor.name}`);
    return series.values[series.nearest(frame?.step ?? 0)];
  };
  return { lr: frame?.lr ?? frame?.points?.get("lr")?.values.at(-1) ?? null, record: store.job.spec.record, estimate };
}
