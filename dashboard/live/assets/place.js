// Where in a job the page looks, as its address says it: show, step and a. Pure.

import { MODES } from "./layers.js";

export const NOWHERE = { mode: "nu", step: null, a: null };

/**
 * Returns {place: {mode, step, a}, problem}: `step` is null for the newest frame, `a` for no comparison.
 *
 * What an address has and this page does not know is left out and told in `problem`.
 */
export function readPlace({ show, step, a }) {
  const problems = [];
  const mode = MODES.some(({ id }) => id === show) ? show : NOWHERE.mode;
  if (show && mode !== show) problems.push(`show=${show} is none of ${MODES.map(({ id }) => id).join(", ")}`);
  const number = (name, text) => {
    if (!text) return null;
    if (/^\d{1,15}$/.test(text) && Number(text) > 0) return Number(text);
    problems.push(`${name}=${text} is no step`);
    return null;
  };
  const place = { mode, step: number("step", step), a: number("a", a) };
  return { place, problem: problems.length ? `The address says ${problems.join(" and ")}; it is left out.` : "" };
}

/** Returns what the address has to say of `place`: name to text, or null for what it leaves out. */
export function writePlace({ mode, step, a }) {
  const text = (number) => (number === null ? null : String(number));
  return { show: mode === NOWHERE.mode ? null : mode, step: text(step), a: text(a) };
}
