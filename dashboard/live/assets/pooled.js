// Cells from the pooled arrays of a frame: a dense grid, or two vectors whose crossings follow from them. Pure.

import { edges, shownDims } from "./accumulators.js";

/** Returns a part whose profile is `values`, one a bin. */
export function vectorPart(size, values) {
  const limits = edges(size, values.length);
  return { size, edges: limits, values, at: limits };
}

/** Returns the profile's number for cell `k`: the largest of the profile's bins that the cell reaches over. */
export function profileAt(part, k) {
  if (part.at === part.edges) return part.values[k];
  let largest = NaN;
  for (let bin = 0; bin < part.values.length; bin++) {
    const apart = part.at[bin + 1] <= part.edges[k] || part.at[bin] >= part.edges[k + 1];
    if (!apart && !(part.values[bin] <= largest)) largest = part.values[bin];
  }
  return largest;
}

/**
 * Returns {rank1, dims, rows, columns, values, at} of an array that was max-pooled along every dim, or null without it.
 *
 * Of more than two dims the longest two are kept, and the largest over the others. The profiles are the largest of
 * each row and column. NaN is where there is nothing: only where all are NaN.
 */
export function denseGrid(shape, array) {
  if (!array) return null;
  if (shape.length <= 1) {
    const columns = vectorPart(shape[0] ?? 1, array.values);
    return { rank1: true, dims: [0, 0], rows: null, columns, values: array.values, at: (_, j) => array.values[j] };
  }
  const dims = shownDims(shape);
  const [numRows, numColumns] = dims.map((dim) => array.shape[dim]);
  const values = shape.length === 2 ? array.values : largestOver(array, dims);
  const at = (i, j) => values[i * numColumns + j];
  const profile = (size, length, read) => vectorPart(size, Float64Array.from({ length }, (_, k) => read(k)));
  const largest = (numbers) => numbers.reduce((a, b) => (b > a ? b : a), 0);
  return {
    rank1: false,
    dims,
    rows: profile(shape[dims[0]], numRows, (i) => largest(values.subarray(i * numColumns, (i + 1) * numColumns))),
    columns: profile(shape[dims[1]], numColumns, (j) => largest(Array.from({ length: numRows }, (_, i) => at(i, j)))),
    values,
    at,
  };
}

function largestOver({ shape, values }, [first, second]) {
  const out = new Float64Array(shape[first] * shape[second]).fill(NaN);
  const place = new Array(shape.length).fill(0);
  for (const value of values) {
    const to = place[first] * shape[second] + place[second];
    if (value > out[to] || Number.isNaN(out[to])) out[to] = value;
    for (let dim = shape.length - 1; dim >= 0 && ++place[dim] === shape[dim]; dim--) place[dim] = 0;
  }
  return out;
}

/** Returns cells that follow from a row's and a column's number by `join`. */
export function outerGrid(rows, columns, dims, join) {
  return { rank1: false, dims, rows, columns, at: (i, j) => join(rows.values[i], columns.values[j]) };
}
