// What range of numbers the map's colours span, and how they are told. Pure.

import { decades } from "./accumulators.js";
import { power } from "../kit/words.js";

/**
 * Returns [low, high] of the colours of `layer`: log10 for "log", else in its unit.
 *
 * It only ever widens while the same thing is shown, so that a colour keeps its meaning from frame to frame.
 */
export function rangeOf(layer, previous = null) {
  const { scale, numbers } = layer;
  if (scale === "flag") return [0, 1];
  if (scale === "change") return [-1, 1];
  const [low, high] = extent(numbers, scale === "log");
  if (scale === "log") return decades({ low: Math.log10(low), high: Math.log10(high) }, previous);
  const reach = Math.max(1, Math.ceil(scale === "bits" ? high : Math.max(-low, high)), previous?.[1] ?? 1);
  const top = Number.isFinite(reach) ? reach : previous?.[1] ?? 1;
  return scale === "bits" ? [0, top] : [-top, top];
}

function extent(numbers, positive) {
  let low = Infinity;
  let high = -Infinity;
  for (const values of numbers) {
    for (const value of values) {
      if (!Number.isFinite(value) || (positive && !(value > 0))) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return [low, high];
}

/** Returns the range in words: 10⁻³ … 10², 0 … 4 bits. */
export function rangeWords({ scale }, [low, high]) {
  if (scale === "log") return `${power(low)} … ${power(high)}`;
  if (scale === "bits") return `0 … ${high} bits`;
  if (scale === "ratio") return `−${high} … +${high} bits`;
  return "";
}

/** Returns the ticks of the colour bar or of a profile's axis: [{at, text}], `at` as coloured, about `wanted` of them. */
export function ticksOf({ scale }, [low, high], wanted) {
  if (scale === "flag") return [];
  if (scale === "change") return [{ at: -1, text: "no more" }, { at: 0, text: "both" }, { at: 1, text: "new" }];
  const step = scale === "log" ? Math.max(1, Math.ceil((high - low) / wanted)) : round((high - low) / wanted);
  const ticks = [];
  const first = scale === "ratio" ? -step * Math.floor(-low / step) : Math.ceil(low / step) * step;
  for (let at = first; at <= high; at += step) ticks.push({ at, text: scale === "log" ? power(at) : signed(at, scale) });
  return ticks;
}

/** Returns the first of 1, 2, 5, 10, 20, … that is not below `step`. */
function round(step) {
  for (let decade = 1; ; decade *= 10) {
    for (const digit of [1, 2, 5]) if (digit * decade >= step) return digit * decade;
  }
}

const signed = (value, scale) => (value < 0 ? `−${-value}` : value > 0 && scale === "ratio" ? `+${value}` : String(value));
