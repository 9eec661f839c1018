// Frames of earlier steps, a tensor's part at a time: asked for over the connection, kept a while. No DOM.

const KEPT = 24; // a part has at most a few hundred KiB

export class Past {
  /** `say(message)` sends to the service, or does nothing while there is no connection; `came()` is told of each answer. */
  constructor({ say, came }) {
    Object.assign(this, { say, came });
    this.parts = new Map(); // "step tensor" to the answer, oldest use first
    this.asked = null; // the question that is on its way
    this.waiting = new Map(); // what is wanted beside it: of each kind the newest
  }

  /**
   * Returns the stored frame of `tensor` at `step`, {step, arrays} with `step` undefined where none is stored; or
   * null while it is on its way. `kind` tells apart who wants it: of each kind the newest question counts.
   */
  at(tensor, step, kind) {
    const key = `${step} ${tensor}`;
    const part = this.parts.get(key);
    if (part) {
      this.parts.delete(key);
      this.parts.set(key, part);
      this.waiting.delete(kind);
      return part;
    }
    this.waiting.set(kind, { type: "at", tensor, step });
    this.#next();
    return null;
  }

  /** Takes an answer. */
  take(message) {
    const key = `${message.asked} ${message.tensor}`;
    this.parts.set(key, message);
    while (this.parts.size > KEPT) this.parts.delete(this.parts.keys().next().value);
    if (this.asked && key === keyOf(this.asked)) this.asked = null;
    for (const [kind, question] of this.waiting) if (keyOf(question) === key) this.waiting.delete(kind);
    this.#next();
    this.came();
  }

  /** Forgets all: another job is shown. */
  clear() {
    this.parts.clear();
    this.waiting.clear();
    this.asked = null;
  }

  /** Asks again what was on its way when the connection broke. */
  again() {
    this.asked = null;
    this.#next();
  }

  #next() {
    if (this.asked || !this.waiting.size) return;
    const [question] = this.waiting.values();
    if (this.say(question)) this.asked = question;
  }
}

const keyOf = ({ tensor, step }) => `${step} ${tensor}`;
