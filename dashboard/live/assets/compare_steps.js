// The difference of one layer between two steps: B over A, around 0. Pure.

import { sizeOf, placeOf } from "./layers.js";
import { count, reading, times } from "../kit/words.js";

/**
 * Returns the layer of `b` against `a`, both of one mode and tensor, at `steps` {a, b}.
 *
 * "ratio": log₂(B/A) of numbers on a log scale, B − A of bits; hatched where either is 0 or no number. "change": a
 * crossing that is active at A only (-1), at both (0), at B only (1); hatched where at neither.
 */
export function difference(a, b, steps) {
  const scale = b.scale === "flag" ? "change" : "ratio";
  const join = { log: ratio, bits: (x, y) => (Number.isFinite(x) && Number.isFinite(y) ? y - x : NaN), flag: change }[b.scale];
  const [numRows, numColumns] = sizeOf(b);
  const values = new Float64Array(numRows * numColumns);
  for (let i = 0; i < numRows; i++) {
    for (let j = 0; j < numColumns; j++) values[i * numColumns + j] = join(a.at(i, j), b.at(i, j));
  }
  const at = (i, j) => values[i * numColumns + j];
  const part = (x, y) => y && { ...y, values: x?.values && y.values ? Float64Array.from(y.values, (value, k) => join(x.values[k], value)) : null };
  const name = { log: `log₂ B/A of ${b.symbol}`, bits: `B − A of ${b.symbol}`, flag: "Active rows × columns" }[b.scale];
  const rows = part(a.rows, b.rows);
  const columns = part(a.columns, b.columns);
  return {
    ...b,
    scale,
    unit: scale === "ratio" ? "bits" : "",
    symbol: { log: `log₂ of ${b.symbol}, B/A`, bits: "bits, B − A", flag: "B against A" }[b.scale],
    name,
    title: `${name}, step ${count(steps.a)} → ${count(steps.b)}`,
    rows,
    columns,
    at,
    grid: () => Array.from({ length: numRows }, (_row, i) => Array.from({ length: numColumns }, (_column, j) => (Number.isNaN(at(i, j)) ? undefined : at(i, j)))),
    numbers: [values, rows?.values, columns.values].filter(Boolean),
    blank: { log: "0 at A or B", bits: "no number at A or B", flag: "active at neither" }[b.scale],
    bySets: false,
    blanks: blanks(values),
    says: (i, j) => `${placeOf(b, i, j)}: ${sentence(b, a.at(i, j), b.at(i, j), steps)}`,
  };
}

const ratio = (x, y) => (x > 0 && y > 0 && x < Infinity && y < Infinity ? Math.log2(y) - Math.log2(x) : NaN);
const change = (x, y) => (x > 0 || y > 0 ? (y > 0) - (x > 0) : NaN);
const blanks = (values) => values.reduce((sum, value) => sum + Number.isNaN(value), 0) / Math.max(1, values.length);

function sentence({ scale, symbol }, x, y, { a, b }) {
  const [before, after] = [`A (step ${count(a)})`, `B (step ${count(b)})`];
  if (scale === "flag") {
    const words = { "-1": `active at ${before}, no more at ${after}`, 0: `active at ${before} and at ${after}`, 1: `zero at ${before}, active at ${after}` };
    return words[change(x, y)] ?? `no gradient, neither at ${before} nor at ${after}`;
  }
  const moved = `${symbol} ${reading(x)} at ${before}, ${reading(y)} at ${after}`;
  if (scale === "bits") return `${symbol} ${x.toFixed(1)} at ${before}, ${y.toFixed(1)} at ${after}: ${signed(y - x)} bits`;
  const bits = ratio(x, y);
  if (Number.isNaN(bits)) return `${moved}: no ratio`;
  const factor = Math.abs(bits) < 1e-9 ? "unchanged" : bits > 0 ? `${times(y / x)}× larger` : `${times(x / y)}× smaller`;
  return `${moved}: ${factor}, ${signed(bits)} bits`;
}

const signed = (x) => (x === 0 ? "0" : `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(1)}`);
