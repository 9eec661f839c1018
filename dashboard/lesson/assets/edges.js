// Where the outline of a set of cells runs. Pure.

/**
 * Returns an SVG path around `cells` (flat, row by row) of a grid of `rows` × `columns` cells of size 1, moved inwards
 * by `inset`. Each stretch between a cell of the set and one outside it is a line.
 */
export function outlinePath(cells, rows, columns, inset) {
  const held = new Set(cells);
  const has = (i, j) => i >= 0 && j >= 0 && i < rows && j < columns && held.has(i * columns + j);
  const path = [];
  for (const cell of held) {
    const i = Math.floor(cell / columns);
    const j = cell % columns;
    const [up, down, left, right] = [has(i - 1, j), has(i + 1, j), has(i, j - 1), has(i, j + 1)];
    const [x0, x1] = [j + (left ? 0 : inset), j + 1 - (right ? 0 : inset)];
    const [y0, y1] = [i + (up ? 0 : inset), i + 1 - (down ? 0 : inset)];
    if (!up) path.push(`M${x0} ${y0}H${x1}`);
    if (!down) path.push(`M${x0} ${y1}H${x1}`);
    if (!left) path.push(`M${x0} ${y0}V${y1}`);
    if (!right) path.push(`M${x1} ${y0}V${y1}`);
  }
  return path.join("");
}
