// From a tensor's accumulators in a frame to what is drawn. Pure.
//
// nu before the step is the minimum over the sets that hold an entry. For slices that is min(row, column), so a
// frame carries two short vectors and the matrix is expanded here. Long dims come max-pooled in bins of equal width,
// the last maybe shorter; the max of min(row, column) over a tile is min(max row, max column), so nothing is lost.

const MAX_BINS = 256;

/**
 * Returns what to draw for `tensor`, or null while the frame holds none of its accumulators.
 *
 * {cover, isOwn, rank1, rows: Part|null, columns: Part|null, dims: [i, j], grid: Float32Array|null, low, high, zeros}
 * with Part = {size, edges, values}; `grid` is row-major nu for covers other than slices; for slices it follows
 * from the parts. `isOwn` says that each entry has an accumulator of its own. `low` and `high` are log10 of the smallest and largest positive nu; `zeros` is the share of bins at 0.
 */
export function accumulatorMap(tensor, frame) {
  const part = (name) => frame.arrays.get(`accumulators/${name}/${tensor.name}`);
  const entries = part("entries");
  const [first, second] = shownDims(tensor.shape);
  let rows = null;
  let columns = null;
  let grid = null;
  if (entries && entries.shape.length === 2) {
    grid = entries.values;
    rows = { size: tensor.shape[0], edges: edges(tensor.shape[0], entries.shape[0]), values: null };
    columns = { size: tensor.shape[1], edges: edges(tensor.shape[1], entries.shape[1]), values: null };
  } else if (entries) {
    const size = tensor.shape.reduce((a, b) => a * b, 1);
    columns = { size, edges: edges(size, entries.values.length), values: entries.values };
  } else if (tensor.shape.length <= 1) {
    const only = part("dim0");
    if (only) columns = { size: tensor.shape[0] ?? 1, edges: edges(tensor.shape[0] ?? 1, only.values.length), values: only.values };
  } else {
    const row = part(`dim${first}`);
    const column = part(`dim${second}`);
    if (row || column) {
      rows = dimPart(tensor.shape[first], row);
      columns = dimPart(tensor.shape[second], column);
    }
  }
  if (!columns) return null;
  const isOwn = tensor.cover === "singletons" || tensor.cover === "" || tensor.shape.length === 0;  // "": torch's own optimizers
  const map = { cover: tensor.cover, isOwn, rank1: rows === null, rows, columns, dims: [first, second], grid };
  return { ...map, ...extent(map) };
}

/** Returns the two dims that are drawn: all there are, or the longest two. */
export function shownDims(shape) {
  const order = shape.map((size, dim) => ({ size, dim })).sort((a, b) => b.size - a.size || a.dim - b.dim);
  return order.slice(0, 2).map(({ dim }) => dim).sort((a, b) => a - b);
}

function dimPart(size, array) {
  const count = array ? array.values.length : Math.ceil(size / binWidth(size));
  return { size, edges: edges(size, count), values: array ? array.values : null };
}

function binWidth(size) {
  return size > MAX_BINS ? Math.ceil(size / MAX_BINS) : 1;
}

/** Returns the count + 1 limits of `count` bins over 0..size. */
export function edges(size, count) {
  const width = Math.ceil(size / binWidth(size)) === count ? binWidth(size) : Math.ceil(size / Math.max(count, 1));
  return Array.from({ length: count + 1 }, (_, k) => Math.min(k * width, size));
}

/** Returns nu of bin (i, j) and which set decides it. */
export function cell(map, i, j) {
  if (map.grid) return { nu: map.grid[i * (map.columns.edges.length - 1) + j], decides: "entry" };
  const column = map.columns.values ? map.columns.values[j] : Infinity;
  if (map.rank1) return { nu: column, decides: "entry" };
  const row = map.rows.values ? map.rows.values[i] : Infinity;
  return { nu: Math.min(row, column), row, column, decides: row === column ? "both" : row < column ? "row" : "column" };
}

/** Returns log10 nu as rows of numbers, undefined where nu is 0 or not a number: those stay hatched. */
export function logGrid(map) {
  const numRows = map.rank1 ? 1 : map.rows.edges.length - 1;
  const numColumns = map.columns.edges.length - 1;
  const rowLog = logs(map.rank1 ? null : map.rows.values, numRows);
  const columnLog = logs(map.columns.values, numColumns);
  return Array.from({ length: numRows }, (_, i) => {
    const line = new Array(numColumns);
    for (let j = 0; j < numColumns; j++) {
      const value = map.grid ? Math.log10(map.grid[i * numColumns + j]) : Math.min(rowLog[i], columnLog[j]);
      line[j] = Number.isFinite(value) ? value : undefined;
    }
    return line;
  });
}

function logs(values, count) {
  if (!values) return new Float64Array(count).fill(Infinity);
  return Float64Array.from(values, Math.log10);
}

function extent({ rank1, rows, columns, grid }) {
  let low = Infinity;
  let high = -Infinity;
  let zeros = 0;
  let count = 0;
  const vectors = grid ? [grid] : [rank1 ? null : rows.values, columns.values].filter(Boolean);
  for (const vector of vectors) {
    for (const value of vector) {
      count++;
      if (!(value > 0)) zeros++;
      else if (Number.isFinite(value)) {
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
  }
  return { low: Math.log10(low), high: Math.log10(high), zeros: count ? zeros / count : 0 };
}

/**
 * Returns the colour range in whole decades, [low, high] as log10.
 *
 * It only ever widens while the same tensor is shown, so that a colour keeps its meaning from frame to frame.
 */
export function decades(map, previous = null) {
  if (!Number.isFinite(map.low)) return previous ?? [-1, 0];
  const low = Math.floor(map.low + 1e-9);
  const high = Math.max(low + 1, Math.ceil(map.high - 1e-9));
  return previous ? [Math.min(low, previous[0]), Math.max(high, previous[1])] : [low, high];
}
