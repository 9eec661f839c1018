// What happened to a job and what is wrong with it, from what the page knows of it. Pure.
//
// An event is {id, step, kind, glyph, word, text, tensor}: `kind` is "move" (a change of the job's state), "alert"
// (something to look at), "stale" or "failed"; `tensor` is null where it concerns the whole job.

import { count, duration, percent, reading } from "../kit/words.js";
import { MOSTLY } from "./glance.js";

const MOVES = {
  running: { glyph: "●", word: "STARTED" },
  paused: { glyph: "‖", word: "PAUSED" },
  succeeded: { glyph: "■", word: "DONE" },
  cancelled: { glyph: "■", word: "STOPPED" },
  failed: { glyph: "✕", word: "FAILED", kind: "failed" },
  crashed: { glyph: "✕", word: "CRASHED", kind: "failed" },
};
const SPIKE = { times: 8, rise: 1.1, after: 50, most: 5 }; // deviations, factor, points, and how many are told

/**
 * Returns events, newest first.
 *
 * `moves` are the job's, `loss` and `dropped` series, `counts` maps "nonfinite/NAME", "nonfinite_mu/NAME",
 * "poisoned/NAME" and "saturated/NAME" to where they changed; `stale` is {ageS, step} while no frame comes, else null.
 */
export function events({ moves = [], loss, dropped, counts = new Map(), stale = null, warning = "", step = 0 }) {
  const found = [...moves.flatMap(moveEvent), ...badLoss(loss), ...spikes(loss), ...drops(dropped)];
  for (const [name, series] of counts) found.push(...tensorEvents(name, series));
  if (warning) found.push(event(step, "alert", "⚠", "WARNING", warning));
  if (stale) found.push(event(stale.step, "stale", "▲", "STALLED", `No new frame for ${duration(stale.ageS)}.`));
  return found.map((each, i) => ({ each, i })).sort((a, b) => b.each.step - a.each.step || b.i - a.i).map(({ each }) => each);
}

function event(step, kind, glyph, word, text, tensor = null) {
  return { id: `${step} ${word} ${tensor ?? ""}`, step, kind, glyph, word, text, tensor };
}

function moveEvent({ state, attempt, cause, step }) {
  const move = MOVES[state];
  const because = sentence(cause);
  if (state === "running") {
    return [attempt ? event(step, "move", "▶", "WENT ON", `Attempt ${attempt + 1} goes on. ${because}`.trim()) : event(step, "move", move.glyph, move.word, because || "Training began.")];
  }
  if (state === "queued" && step > 0) return [event(step, "move", "↻", "QUEUED", because || "It waits for a slot again.")];
  return move ? [event(step, move.kind ?? "move", move.glyph, move.word, because || "The worker gave no cause.")] : [];
}

const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1).split("\n")[0].slice(0, 240) : "");

/** Tells where the loss is no number: the first of each run of such steps. */
function badLoss({ steps, values } = { steps: [], values: [] }) {
  const found = [];
  for (let i = 0; i < steps.length; i++) {
    if (Number.isFinite(values[i]) || (i && !Number.isFinite(values[i - 1]))) continue;
    found.push(event(steps[i], "alert", "∞", "NON-FINITE", `The loss is ${reading(values[i])}.`));
  }
  return found;
}

/** Tells where the loss leaps: by 8 times its usual deviation and by a tenth at the least; the largest few. */
function spikes({ steps, values } = { steps: [], values: [] }) {
  let [mean, spread, seen] = [NaN, 0, 0];
  const found = [];
  for (let i = 0; i < steps.length; i++) {
    const value = values[i];
    if (!Number.isFinite(value)) continue;
    const away = value - mean;
    if (seen > SPIKE.after && away > SPIKE.times * spread && value > SPIKE.rise * mean) {
      const last = found[found.length - 1];
      const near = last && steps[i] - last.step < 0.01 * steps[steps.length - 1];
      if (!near) found.push({ step: steps[i], times: value / mean, value, mean });
      else if (value > last.value) Object.assign(last, { step: steps[i], value, times: value / last.mean });
      continue; // what is out of the ordinary does not make the ordinary
    }
    mean = seen ? mean + 0.05 * away : value;
    spread = seen ? spread + 0.05 * (Math.abs(away) - spread) : 0;
    seen++;
  }
  return found
    .sort((a, b) => b.times - a.times)
    .slice(0, SPIKE.most)
    .map((spike) => event(spike.step, "alert", "↑", "SPIKE", `The loss leaps from about ${reading(spike.mean)} to ${reading(spike.value)}.`));
}

function drops({ steps, values } = { steps: [], values: [] }) {
  const first = values.findIndex((value) => value > 0);
  if (first < 0) return [];
  return [event(steps[first], "alert", "⇣", "DROPPED", `${count(values[values.length - 1])} frames were dropped by the worker; training went on.`)];
}

function tensorEvents(name, series) {
  const cut = name.indexOf("/");
  const [statistic, tensor] = [name.slice(0, cut), name.slice(cut + 1)];
  const tell = TENSOR[statistic];
  if (!tell) return [];
  const found = [];
  let before = 0;
  series.values.forEach((value, i) => {
    if (tell.is(value) && !tell.is(before)) {
      // How long it lasted, and its worst: until it is over, or still.
      let worst = value;
      let until = i;
      while (until < series.length && tell.is(series.values[until])) worst = Math.max(worst, series.values[until++]);
      const over = until < series.length ? ` Over at step ${count(series.steps[until])}.` : "";
      found.push(event(series.steps[i], "alert", tell.glyph, tell.word, `${tell.text(worst, tensor)}${over}`, tensor));
    }
    before = value;
  });
  return found;
}

const positive = (value) => value > 0;
const TENSOR = {
  nonfinite: { is: positive, glyph: "∞", word: "NON-FINITE", text: (n, tensor) => `${plural(n, "entry", "entries")} of the gradient of ${tensor} ${n === 1 ? "is" : "are"} NaN or infinite.` },
  nonfinite_mu: { is: positive, glyph: "∞", word: "NON-FINITE", text: (n, tensor) => `${plural(n, "accumulator", "accumulators")} of ${tensor} ${n === 1 ? "is" : "are"} NaN or infinite.` },
  poisoned: { is: positive, glyph: "◆", word: "POISONED", text: (n, tensor) => `${plural(n, "entry", "entries")} of ${tensor} ${n === 1 ? "takes" : "take"} steps far too small: outliers elsewhere hold up every set around them.` },
  saturated: { is: (value) => value >= MOSTLY, glyph: "▬", word: "SATURATED", text: (share, tensor) => `${percent(share)} of the accumulators of ${tensor} hardly grow any more: old outliers hold them up.` },
};

const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;
