// From panels as Python describes them to one Plotly figure with a subplot each, and to what lies under a pointer. Pure.

import { power, reading } from "../kit/words.js";

export const PLOT_PX = 176;
const HEAD_PX = 44;
const GAP_PX = 16;
const MIN_PX = 150;
const MARGIN = { l: 48, r: 56, t: 0, b: 40 };
const UNIT = 256;
const NOTHING = -(2 ** 15);

/** Returns the numbers that Python packed as base64 of 16-bit integers; NaN where there is none. */
export function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => {
    const value = view.getInt16(2 * i, true);
    return value === NOTHING ? NaN : value / UNIT;
  });
}

/** Returns {columns, rows, height}: how `count` panels are laid out in `width` pixels. */
export function arrange(count, width) {
  const room = Math.max(1, width - MARGIN.l - MARGIN.r);
  const most = Math.max(1, Math.min(count, Math.floor((room + GAP_PX) / (MIN_PX + GAP_PX))));
  const rows = Math.ceil(count / most);
  const columns = Math.ceil(count / rows); // as even as can be
  return { columns, rows, height: rows * (HEAD_PX + PLOT_PX) + MARGIN.b };
}

const suffix = (k) => (k ? String(k + 1) : "");
export const xaxisOf = (k) => `xaxis${suffix(k)}`;
export const yaxisOf = (k) => `yaxis${suffix(k)}`;

/** Returns {data, layout}; `grids` are the unpacked numbers, a panel each or null; `range` the colours' own. */
export function figure(given, grids, range, width, theme, tint) {
  const { panels } = given;
  const { columns, height } = arrange(panels.length, width);
  const inner = { width: width - MARGIN.l - MARGIN.r, height: height - MARGIN.b };
  const size = (inner.width - (columns - 1) * GAP_PX) / columns;
  const extents = panels.map(({ rows: r, columns: c }) => [r[r.length - 1] ?? 0, c[c.length - 1] ?? 0]);
  const most = [Math.max(1, ...extents.map(([r]) => r)), Math.max(1, ...extents.map(([, c]) => c))];
  const data = [];
  const layout = {
    uirevision: given.revision,
    autosize: false,
    width,
    height,
    margin: { ...MARGIN, pad: 0 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme.font, size: 12, color: theme.muted },
    showlegend: false,
    hovermode: false,
    dragmode: "zoom",
    annotations: [],
    coloraxis: { cmin: range[0], cmax: range[1], colorscale: "Viridis", colorbar: colorbar(given, range, theme, PLOT_PX / inner.height) },
  };
  panels.forEach((panel, k) => {
    const [column, row] = [k % columns, Math.floor(k / columns)];
    const left = (column * (size + GAP_PX)) / inner.width;
    const top = 1 - (row * (HEAD_PX + PLOT_PX) + HEAD_PX) / inner.height;
    const isLowest = k + columns >= panels.length;
    layout[xaxisOf(k)] = look(theme, { domain: [left, left + size / inner.width], anchor: `y${suffix(k)}`, matches: k ? "x" : undefined, range: [0, most[1]], minallowed: 0, maxallowed: most[1], showticklabels: isLowest, nticks: 5, title: isLowest ? { text: given.axes[1], standoff: 4, font: { size: 12 } } : undefined });
    layout[yaxisOf(k)] = look(theme, { domain: [top - PLOT_PX / inner.height, top], anchor: `x${suffix(k)}`, matches: k ? "y" : undefined, range: [most[0], 0], minallowed: 0, maxallowed: most[0], showticklabels: column === 0 && most[0] > 1, nticks: 5, title: column === 0 ? { text: given.axes[0], standoff: 4, font: { size: 12 } } : undefined });
    const at = { xref: "paper", yref: "paper", showarrow: false, x: left, xanchor: "left", align: "left" };
    layout.annotations.push({ ...at, y: top, yanchor: "bottom", yshift: 4, text: heading(panel, size, tint(theme, panel.color), theme) });
    const base = { xaxis: `x${suffix(k)}`, yaxis: `y${suffix(k)}` };
    if (grids[k]) {
      data.push({ ...base, type: "heatmap", x: panel.columns, y: panel.rows, z: lines(grids[k], panel.rows.length - 1, panel.columns.length - 1), coloraxis: "coloraxis", zsmooth: false, hoverinfo: "none", name: panel.name });
    } else {
      data.push({ ...base, type: "scatter", x: [], y: [], hoverinfo: "none" });
      layout.annotations.push({ ...at, x: left + size / inner.width / 2, xanchor: "center", align: "center", y: top - PLOT_PX / inner.height / 2, yanchor: "middle", text: wrap(panel.message, Math.floor(size / 7)).map(markup).join("<br>") });
    }
  });
  return { data, layout };
}

function heading(panel, width, shade, theme) {
  const room = Math.floor((width - 16) / 6.6);
  const [name, cost] = [panel.name, panel.bytes];
  const fits = room - cost.length - 5;
  const short = name.length > fits ? `${name.slice(0, Math.max(3, fits - 1))}…` : name;
  return `<span style="color:${shade}">${panel.glyph}</span> <span style="color:${theme.text}"><b>${markup(short)}</b></span> · ${cost}<br>${markup(panel.line)}`;
}

function look(theme, more) {
  return { zeroline: false, showgrid: false, ticks: "outside", ticklen: 3, tickcolor: theme.line, linecolor: theme.line, showline: true, mirror: true, automargin: false, tickformat: ",d", ...more };
}

function colorbar(given, [low, high], theme, len) {
  const step = Math.max(1, Math.ceil((high - low) / 6));
  const tickvals = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) tickvals.push(tick);
  return {
    x: 1, xanchor: "left", xpad: 8, ypad: 0, thickness: 10, len, y: 0, yanchor: "bottom", outlinewidth: 0,
    tickvals,
    ticktext: tickvals.map((tick) => (given.scale.decades ? power(tick) : String(tick))),
    tickfont: { color: theme.muted, size: 12 },
    ticklen: 3,
    tickcolor: theme.line,
    title: { text: given.scale.decades ? "ν" : "bits", side: "top", font: { color: theme.muted, size: 12 } },
  };
}

function lines(values, rows, columns) {
  return Array.from({ length: rows }, (_row, i) => Array.from({ length: columns }, (_column, j) => {
    const value = values[i * columns + j];
    return Number.isNaN(value) ? undefined : value;
  }));
}

function wrap(text, width) {
  const found = [""];
  for (const word of text.split(" ")) {
    const line = found[found.length - 1];
    if (line && line.length + word.length + 1 > width) found.push(word);
    else found[found.length - 1] = line ? `${line} ${word}` : word;
  }
  return found;
}

const markup = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Returns the place of (row, column) of the tensor in a panel's grid, or null outside of it. */
export function cellOf(panel, row, column) {
  const [i, j] = [bin(panel.rows, row), bin(panel.columns, column)];
  return i < 0 || j < 0 ? null : i * (panel.columns.length - 1) + j;
}

function bin(edges, at) {
  if (at < edges[0] || at >= edges[edges.length - 1]) return -1;
  return edges.findIndex((_, k) => at < edges[k + 1]);
}

/** Returns what all panels say at (row, column), in one line. */
export function readout(given, grids, row, column) {
  const single = given.panels.every(({ rows }) => rows.length <= 2);
  const where = single ? `entry ${Math.floor(column)}` : `row ${Math.floor(row)} ∧ column ${Math.floor(column)}`;
  const said = given.panels.map((panel, k) => {
    const cell = grids[k] ? cellOf(panel, row, column) : null;
    const value = cell === null ? undefined : grids[k][cell];
    const text = value === undefined ? "–" : Number.isNaN(value) ? "0" : given.scale.decades ? reading(10 ** value) : `${value.toFixed(2)}`;
    return `${panel.glyph} ${panel.name} ${text}`;
  });
  return `${where}, ${given.scale.decades ? "ν" : "bits"}: ${said.join("   ")}`;
}

/** Returns all numbers of all panels, one a row: what the CSV holds. */
export function entries(given, grids) {
  const columns = ["cover", "step", "first row", "last row", "first column", "last column", given.scale.decades ? "log10 nu" : "tightness in bits"].map((name) => ({ name, unit: "" }));
  const rows = given.panels.flatMap((panel, k) => grids[k] ? Array.from(grids[k], (value, at) => {
    const width = panel.columns.length - 1;
    const [i, j] = [Math.floor(at / width), at % width];
    return [panel.name, panel.step, panel.rows[i], panel.rows[i + 1] - 1, panel.columns[j], panel.columns[j + 1] - 1, Number.isNaN(value) ? null : value];
  }) : []);
  return { columns, rows };
}
