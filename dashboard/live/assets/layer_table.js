// A layer of the map as a table: its sets where the cells follow from them, else its cells. Pure.

import { sizeOf } from "./layers.js";

/** Returns {columns, rows} as kit/sheet.js shows and kit/export.js saves them; `last` of a bin is within it. */
export function tableOf(layer) {
  const value = { name: layer.symbol, kind: "number", unit: layer.unit };
  if (layer.bySets) {
    const rows = [...setRows("row", layer.rows), ...setRows(layer.rank1 ? "entry" : "column", layer.columns)];
    return { columns: [{ name: "set" }, ...span("first"), ...span("last"), value], rows };
  }
  const [numRows, numColumns] = sizeOf(layer);
  const rows = [];
  for (let i = 0; i < numRows; i++) {
    for (let j = 0; j < numColumns; j++) {
      const number = layer.at(i, j);
      rows.push([...(layer.rank1 ? [] : bin(layer.rows.edges, i)), ...bin(layer.columns.edges, j), number]);
    }
  }
  const places = layer.rank1 ? [...span("first entry"), ...span("last entry")] : ["first row", "last row", "first column", "last column"].flatMap(span);
  return { columns: [...places, value], rows };
}

const span = (name) => [{ name, kind: "integer" }];
const bin = (edges, k) => [edges[k], edges[k + 1] - 1];

function setRows(word, part) {
  if (!part?.values) return [];
  return Array.from(part.values, (value, k) => [word, ...bin(part.at ?? part.edges, k), value]);
}
