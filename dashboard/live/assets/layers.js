// What the map can show of a tensor: nu, the effective rate, g², tightness, activation. Pure.
//
// A **layer** is one of them, read off a frame:
// {mode, scale, unit, symbol, title, dims, rank1, rows, columns, at(i, j), grid(), numbers, blank, bySets, says(i, j)}
// * rows and columns are {size, edges, values, at}: `edges` limit the cells, `values` the profile or null, `at` its
//   edges; rows is null where rank1;
// * at(i, j) is a cell's number in `unit`, NaN where there is none; grid() all cells as they are coloured, row by row,
//   undefined where the map is hatched; numbers are the arrays that the colours' range has to hold;
// * scale is "log" (coloured by log10), "bits" (from 0 up), "flag" (there or not), or for a difference of two steps
//   "ratio" (around 0) and "change" (-1, 0, 1);
// * blank says what hatched cells are, bySets whether cells follow from the profiles; says(i, j) tells one in a sentence.

import { accumulatorMap, cell, logGrid, shownDims } from "./accumulators.js";
import { denseGrid, outerGrid, profileAt, vectorPart } from "./pooled.js";
import { absence } from "./absence.js";
import { binName, cellSentence, mapTitle, reading, times } from "../kit/words.js";

/** `title` explains the choice, `heading` stands over a map that is not there. */
export const MODES = [
  { id: "nu", label: "ν", heading: "ν", title: "ν, the bound on the sum of squared gradients" },
  { id: "rate", label: "rate", heading: "lr/√ν", title: "Effective learning rate lr/√ν" },
  { id: "g2", label: "g²", heading: "g² of this step", title: "Squared gradient of this step" },
  { id: "tightness", label: "tightness", heading: "log₂ ν/γ, bits above AdaGrad", title: "log₂ ν/γ: how far ν lies above AdaGrad's exact sum" },
  { id: "activation", label: "activation", heading: "Active rows × active columns", title: "Rows and columns that had a gradient in this step" },
];

/**
 * Returns {layer} for `mode` of `tensor` in `frame`, or {why, how} where the frame does not hold it: how to record it.
 *
 * `known` is {lr, record, estimate(name)}: the step's learning rate or null, the job's record settings, and the newest
 * value of a series of this tensor.
 */
export function layerOf(mode, tensor, frame, known) {
  const made = { nu: nuLayer, rate: rateLayer, g2: squaresLayer, tightness: tightnessLayer, activation: activationLayer }[mode](tensor, frame, known);
  return made ? { layer: { mode, ...made } } : absence(mode, tensor, known);
}

function nuLayer(tensor, frame) {
  const map = accumulatorMap(tensor, frame);
  if (!map) return null;
  return {
    scale: "log",
    unit: "gradient²",
    symbol: "ν",
    title: mapTitle(map),
    ...shapeOf(map),
    at: (i, j) => cell(map, i, j).nu,
    grid: () => logGrid(map),
    numbers: numbersOf(map),
    blank: "ν = 0, never touched",
    bySets: !map.grid,
    says: (i, j) => cellSentence(map, i, j, cell(map, i, j)),
  };
}

// The pooled bound is the largest of a cell's entries, so the rate of the cell is their least.
function rateLayer(tensor, frame, { lr }) {
  const map = lr === null ? null : accumulatorMap(tensor, frame);
  if (!map) return null;
  const rate = (nu) => (nu > 0 && lr > 0 ? lr / Math.sqrt(nu) : NaN);
  const rates = (part) => part && { ...part, values: part.values && Float64Array.from(part.values, rate) };
  const shift = Math.log10(lr);
  return {
    scale: "log",
    unit: "parameter/gradient",
    symbol: "lr/√ν",
    title: map.grid || map.rank1 || !(map.rows.values && map.columns.values) ? "lr/√ν" : "lr/√ν = max(row, column)",
    ...shapeOf({ ...map, rows: rates(map.rows), columns: rates(map.columns) }),
    at: (i, j) => rate(cell(map, i, j).nu),
    grid: () => logGrid(map).map((line) => line.map((log) => (log === undefined || !(lr > 0) ? undefined : shift - log / 2))),
    numbers: numbersOf(map).map((values) => Float64Array.from(values, rate)),
    blank: lr > 0 ? "no rate, never touched" : "the learning rate is 0",
    bySets: !map.grid,
    says: (i, j) => rateSentence(map, i, j, lr, rate),
  };
}

function rateSentence(map, i, j, lr, rate) {
  const found = cell(map, i, j);
  const place = placeOf(map, i, j);
  if (!(found.nu > 0)) return `${place}: no rate yet, for ν = ${reading(found.nu)}`;
  const value = `${isPooled(map, i, j) ? "at least " : ""}lr/√ν = ${reading(rate(found.nu))} (lr ${reading(lr)}, ν ${reading(found.nu)})`;
  if (found.decides === "entry" || found.row === Infinity || found.column === Infinity) return `${place}: ${value}`;
  const sides = `row alone ${reading(rate(found.row))}, column alone ${reading(rate(found.column))}`;
  return `${place}: ${value}, ${found.decides === "both" ? "row and column agree" : `the ${found.decides} decides: it allows the larger step`} (${sides})`;
}

function squaresLayer(tensor, frame) {
  const part = (name) => frame.arrays.get(`squares/${name}/${tensor.name}`);
  const dense = denseGrid(tensor.shape, part("grid"));
  const shared = { scale: "log", unit: "gradient²", symbol: "g²", blank: "g² = 0, no gradient" };
  if (dense?.rank1) {
    return { ...shared, title: "g² of this step", ...dense, grid: () => logs(dense), numbers: [dense.columns.values], bySets: false, says: (i, j) => `${placeOf(dense, i, j)}: g² = ${reading(dense.at(i, j))}` };
  }
  const [first, second] = dense?.dims ?? shownDims(tensor.shape);
  const [rowMax, columnMax, rowMean, columnMean] = [`dim${first}`, `dim${second}`, `mean${first}`, `mean${second}`].map(part);
  if (!rowMax || !columnMax) return null;
  const [rowPart, columnPart] = [vectorPart(tensor.shape[first], rowMax.values), vectorPart(tensor.shape[second], columnMax.values)];
  const cells = dense ?? outerGrid(rowPart, columnPart, [first, second], Math.min);
  const layer = { ...cells, rows: { ...rowPart, edges: cells.rows.edges }, columns: { ...columnPart, edges: cells.columns.edges } };
  const says = (i, j) => {
    const value = layer.at(i, j);
    const [row, column] = [profileAt(layer.rows, i), profileAt(layer.columns, j)];
    const [rowAverage, columnAverage] = [profileAt({ ...layer.rows, values: rowMean.values }, i), profileAt({ ...layer.columns, values: columnMean.values }, j)];
    const around = `row up to ${reading(row)}, mean ${reading(rowAverage)}; column up to ${reading(column)}, mean ${reading(columnAverage)}`;
    const word = dense ? (isPooled(layer, i, j) ? "g² up to" : "g² =") : "g² at most";
    const decides = dense ? "" : row === column ? ", row and column agree" : `, the ${row < column ? "row" : "column"} says so`;
    return `${placeOf(layer, i, j)}: ${word} ${reading(value)}${decides} (${around})`;
  };
  return { ...shared, title: dense ? "g² of this step" : "g² ≤ min(row's, column's largest)", ...layer, grid: () => logs(layer), numbers: [rowMax.values, columnMax.values], bySets: !dense, says };
}

function tightnessLayer(tensor, frame) {
  const dense = denseGrid(tensor.shape, frame.arrays.get(`tightness/grid/${tensor.name}`));
  if (!dense) return null;
  const says = (i, j) => {
    const bits = dense.at(i, j);
    const place = placeOf(dense, i, j);
    if (Number.isNaN(bits)) return `${place}: never touched, or not finite`;
    if (bits === 0) return `${place}: 0 bits, as tight as AdaGrad`;
    const most = isPooled(dense, i, j) ? "up to " : "";
    return `${place}: ${most}${bits.toFixed(1)} bits, ν is ${times(2 ** bits)}× AdaGrad's sum, a step ${times(2 ** (bits / 2))}× smaller`;
  };
  return {
    scale: "bits",
    unit: "bits",
    symbol: "log₂ ν/γ",
    title: "log₂ ν/γ, bits above AdaGrad",
    ...dense,
    grid: () => rowsOf(dense, (bits) => (bits < Infinity ? bits : undefined)),
    numbers: [dense.values],
    blank: "never touched, or not finite",
    says,
  };
}

// What two patterns of zeros can say: outside their crossings the gradient is 0, inside it may be anything.
function activationLayer(tensor, frame) {
  const [row, column] = [0, 1].map((dim) => frame.arrays.get(`activation/dim${dim}/${tensor.name}`));
  if (!row || !column) return null;
  const layer = outerGrid(vectorPart(tensor.shape[0], row.values), vectorPart(tensor.shape[1], column.values), [0, 1], Math.min);
  const says = (i, j) => {
    const [a, b] = [row.values[i] > 0, column.values[j] > 0];
    const place = placeOf(layer, i, j);
    if (a && b) return `${place}: row and column both had a gradient, so this entry may have had one`;
    return `${place}: no gradient here, for its ${!a && !b ? "row and column are" : `${a ? "column" : "row"} is`} zero throughout`;
  };
  return {
    scale: "flag",
    unit: "",
    symbol: "active",
    title: "Active rows × active columns",
    ...layer,
    grid: () => rowsOf(layer, (value) => (value > 0 ? 1 : undefined)),
    numbers: [row.values, column.values],
    blank: "no gradient (colour: perhaps)",
    bySets: true,
    says,
  };
}

const shapeOf = ({ rank1, dims, rows, columns }) => ({ rank1, dims, rows: rank1 ? null : rows, columns });
const numbersOf = (map) => (map.grid ? [map.grid] : [map.rank1 ? null : map.rows.values, map.columns.values].filter(Boolean));
const logs = (layer) => rowsOf(layer, (value) => (value > 0 && value < Infinity ? Math.log10(value) : undefined));

/** Returns the cells of a layer as rows of what `shown` makes of each number. */
export function rowsOf(layer, shown) {
  const [numRows, numColumns] = sizeOf(layer);
  return Array.from({ length: numRows }, (_row, i) => Array.from({ length: numColumns }, (_column, j) => shown(layer.at(i, j))));
}

/** Returns the number of rows and of columns of cells. */
export const sizeOf = ({ rank1, rows, columns }) => [rank1 ? 1 : rows.edges.length - 1, columns.edges.length - 1];

/** Returns where a cell is, in words. */
export function placeOf({ rank1, rows, columns }, i, j) {
  return `${rank1 ? "" : `${binName("row", rows.edges, i)} ∧ `}${binName(rank1 ? "entry" : "column", columns.edges, j)}`;
}

const isPooled = ({ rank1, rows, columns }, i, j) => (!rank1 && rows.edges[i + 1] - rows.edges[i] > 1) || columns.edges[j + 1] - columns.edges[j] > 1;

/** Returns which share of a layer's cells is blank: zero or not a number. */
export function blankShare(layer) {
  if (layer.blanks !== undefined) return layer.blanks;
  const blank = (values) => values.reduce((sum, value) => sum + !(value > 0), 0) / Math.max(1, values.length);
  if (!layer.bySets) {
    const [numRows, numColumns] = sizeOf(layer);
    return rowsOf(layer, (value) => value).reduce((sum, row) => sum + blank(row), 0) / (numColumns ? numRows : 1);
  }
  // A cell that follows from its sets is blank where either of them is.
  return 1 - [layer.rows, layer.columns].reduce((share, part) => share * (part?.values ? 1 - blank(part.values) : 1), 1);
}
