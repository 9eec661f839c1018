// What the lesson asked for and has not been drawn yet. No DOM.
//
// Every run of the page begins with the address that the browser has by then. A change that is asked for before the run
// of the one before has come back would find the old address and undo it, so it brings the earlier one along.

let pending = {};

/** Returns what to send for `change`: with it, whatever is still on its way, unless it leads to another lesson. */
export function asking(change) {
  pending = "lesson" in change ? { ...change } : { ...pending, ...change };
  return { change: pending, at: Date.now() };
}

/** Forgets: a run has come back. */
export function answered() {
  pending = {};
}
