// Plotly figures as plain {data, layout}: pure functions of what is known and of the theme's colours.

import { logGrid } from "./accumulators.js";
import { power } from "../kit/words.js";
import { smooth, smoothingSpan, thin } from "./series.js";

const PROFILE = 0.16; // share of the map's width that the row profile takes
const GAP = 0.012;

/** Returns what every figure shares: type, colours and no decoration. */
function base(theme, revision, margin) {
  return {
    uirevision: revision,
    autosize: true,
    margin: { l: 0, r: 0, t: 0, b: 0, pad: 0, ...margin },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme.font, size: 12, color: theme.muted },
    showlegend: false,
    hovermode: false,
    dragmode: "zoom",
  };
}

/** Returns ticks at whole decades of `low` to `high` (log10), about `wanted` of them, in one size of type. */
function decadeTicks(low, high, wanted) {
  const step = Math.max(1, Math.ceil((high - low) / wanted));
  const decades = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) decades.push(tick);
  return { tickmode: "array", tickvals: decades.map((tick) => 10 ** tick), ticktext: decades.map(power) };
}

function axis(theme, more) {
  return {
    zeroline: false,
    showgrid: false,
    ticks: "outside",
    ticklen: 4,
    tickcolor: theme.line,
    linecolor: theme.line,
    automargin: false,
    ...more,
  };
}

/** Returns the map of nu with both profiles: they sit on the heatmap's own axes, so a pixel is the same index. */
export function mapFigure(map, theme, { revision, range }) {
  const columnEdges = map.columns.edges;
  const rowEdges = map.rank1 ? [0, 1] : map.rows.edges;
  const [low, high] = range;
  const hasRows = !map.rank1 && map.rows.values !== null;
  const hasColumns = map.columns.values !== null;
  const left = hasRows ? PROFILE : 0;
  const top = hasColumns ? (map.rank1 ? 0.78 : 0.8) : 1;
  const data = [
    {
      type: "heatmap",
      name: "nu",
      x: columnEdges,
      y: rowEdges,
      z: logGrid(map),
      zmin: low,
      zmax: high,
      zsmooth: false,
      colorscale: "Viridis",
      hoverinfo: "none",
      colorbar: colorbar(theme, low, high, top),
    },
  ];
  if (hasColumns) data.push(profile(columnEdges, map.columns.values, low, theme, { x: "x", y: "y2" }, false));
  if (hasRows) data.push(profile(rowEdges, map.rows.values, low, theme, { x: "x2", y: "y" }, true));
  const value = { type: "log", fixedrange: true, range: [low, high], showgrid: true, gridcolor: theme.grid, ...decadeTicks(low, high, 3) };
  const rowSize = rowEdges[rowEdges.length - 1];
  const layout = {
    ...base(theme, revision, { l: 64, r: 8, t: 6, b: 38 }),
    xaxis: axis(theme, {
      domain: [left ? left + GAP : 0, 0.93],
      range: [0, columnEdges[columnEdges.length - 1]],
      minallowed: 0,
      maxallowed: columnEdges[columnEdges.length - 1],
      anchor: "y",
      nticks: 9,
      title: axisTitle(map.rank1 ? "entry" : `column (dim ${map.dims[1]})`),
      tickformat: ",d",
    }),
    yaxis: axis(theme, {
      domain: [0, top - (hasColumns ? 2 * GAP : 0)],
      range: [rowSize, 0],
      minallowed: 0,
      maxallowed: rowSize,
      anchor: left ? "x2" : "x",
      nticks: 7,
      fixedrange: map.rank1,
      showticklabels: !map.rank1,
      ticks: map.rank1 ? "" : "outside",
      title: axisTitle(map.rank1 ? "" : `row (dim ${map.dims[0]})`),
      tickformat: ",d",
    }),
  };
  if (hasColumns) layout.yaxis2 = axis(theme, { ...value, domain: [top, 1], anchor: "x" });
  if (hasRows) layout.xaxis2 = axis(theme, { ...value, range: [high, low], domain: [0, left - GAP / 2], anchor: "y", tickangle: 0 });
  return { data, layout };
}

const axisTitle = (text) => ({ text, standoff: 4, font: { size: 12 } });

function colorbar(theme, low, high, top) {
  const { tickvals, ticktext } = decadeTicks(low, high, 6);
  return {
    x: 0.945,
    xpad: 0,
    ypad: 0,
    thickness: 10,
    len: top,
    y: 0,
    yanchor: "bottom",
    outlinewidth: 0,
    tickvals: tickvals.map(Math.log10),
    ticktext,
    tickfont: { color: theme.muted, size: 12 },
    ticklen: 3,
    tickcolor: theme.line,
    title: { text: "ν", side: "top", font: { color: theme.muted, size: 13 } },
  };
}

/** Returns one filled step line: a single outline, closed along the range's lower end. */
function profile(edges, values, low, theme, axes, upright) {
  const floor = 10 ** low;
  const along = [edges[0]];
  const height = [floor];
  for (let k = 0; k < values.length; k++) {
    const value = values[k] > floor ? values[k] : floor;
    along.push(edges[k], edges[k + 1]);
    height.push(value, value);
  }
  along.push(edges[edges.length - 1]);
  height.push(floor);
  return {
    type: "scatter",
    name: upright ? "row accumulators" : "column accumulators",
    mode: "lines",
    x: upright ? height : along,
    y: upright ? along : height,
    xaxis: axes.x,
    yaxis: axes.y,
    line: { color: theme.accent, width: 1 },
    fill: "toself",
    fillcolor: theme.accentSoft,
    hoverinfo: "skip",
    cliponaxis: true,
  };
}

function line(name, { steps, values }, style) {
  return { type: "scatter", mode: "lines", name, x: steps, y: values, hoverinfo: "skip", connectgaps: false, ...style };
}

function timeLayout(theme, revision, steps, value) {
  return {
    ...base(theme, revision, { l: 48, r: 12, t: 6, b: 26 }),
    xaxis: axis(theme, { range: [0, steps], nticks: 5, tickformat: "~s", minallowed: 0 }),
    yaxis: axis(theme, { showgrid: true, gridcolor: theme.grid, ticks: "", nticks: 5, ...value }),
  };
}

/** Returns the loss: raw ghosted, smoothed on top, validation as points, of the averaged parameters too. */
export function lossFigure(store, theme, { revision, steps }) {
  const loss = store.get("loss");
  const validation = store.get("val_loss");
  const smoothed = { steps: loss.steps, values: smooth(loss.values, smoothingSpan(loss.length)) };
  return {
    data: [
      line("loss", thin(loss), { line: { color: theme.ghost, width: 1 } }),
      line("smoothed", thin(smoothed), { line: { color: theme.accent, width: 2 } }),
      {
        ...line("validation", validation, {}),
        mode: "markers",
        cliponaxis: false,
        marker: { symbol: "diamond", size: 8, color: theme.second, line: { color: theme.paper, width: 1 } },
      },
      {
        ...line("averaged", store.get("val_loss_averaged"), {}),
        mode: "markers",
        cliponaxis: false,
        marker: { symbol: "circle-open", size: 8, color: theme.second, line: { width: 2 } },
      },
    ],
    layout: timeLayout(theme, revision, steps, { type: "log", dtick: "D1", minor: { showgrid: false }, ...lossRange(loss, validation) }),
  };
}

/** Returns the range that holds all losses. Left to itself, Plotly spans two decades around a single one. */
function lossRange(...series) {
  const values = series.flatMap((one) => one.values).filter((value) => value > 0 && value < Infinity);
  if (!values.length) return {};
  const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  const middle = Math.sqrt(low * high);
  return { range: [Math.min(low / 1.05, middle / 1.3), Math.max(high * 1.05, middle * 1.3)].map(Math.log10) };
}

/** Returns the band p5 to p95 of the effective learning rate with its median. */
export function rateFigure(store, theme, { revision, steps, tensor }) {
  const [low, middle, high] = ["rate_p05", "rate_p50", "rate_p95"].map((name) => positive(thin(store.get(`${name}/${tensor}`))));
  return {
    data: [
      line("p5", low, { line: { color: theme.accentLine, width: 1 } }),
      line("p95", high, { line: { color: theme.accentLine, width: 1 }, fill: "tonexty", fillcolor: theme.accentSoft }),
      line("p50", middle, { line: { color: theme.accent, width: 2 } }),
    ],
    layout: timeLayout(theme, revision, steps, { type: "log", ...rateTicks(low, high) }),
  };
}

function rateTicks(low, high) {
  const values = [...low.values, ...high.values].filter((value) => value > 0);
  if (!values.length) return {};
  const logs = values.map(Math.log10);
  const [from, to] = [Math.floor(logs.reduce((a, b) => Math.min(a, b))), Math.ceil(logs.reduce((a, b) => Math.max(a, b)))];
  return decadeTicks(from, to, 4);
}

function positive({ steps, values }) {
  return { steps, values: values.map((value) => (value > 0 ? value : null)) };
}

/** Returns the share of rows and columns whose gradient was all zero, and of entries never touched. */
export function zerosFigure(store, theme, { revision, steps, tensor }) {
  const rows = store.get(`zero_rows/${tensor}`);
  const columns = store.get(`zero_cols/${tensor}`);
  const untouched = store.get(`untouched/${tensor}`);
  return {
    data: [
      line("rows", thin(rows), { line: { color: theme.accent, width: 2 } }),
      line("columns", thin(columns), { line: { color: theme.second, width: 1.5, dash: "dash" } }),
      line("never touched", thin(untouched), { line: { color: theme.muted, width: 1.5, dash: "dot" } }),
    ],
    layout: timeLayout(theme, revision, steps, { range: [-0.03, 1.03], tickvals: [0, 0.5, 1], ticktext: ["0 %", "50 %", "100 %"], fixedrange: true }),
  };
}

