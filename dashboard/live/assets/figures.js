// Plotly figures as plain {data, layout}: pure functions of what is known and of the theme's colours.

import { power } from "../kit/words.js";
import { smooth, smoothingSpan, thin } from "./series.js";

/** Returns what every figure shares: type, colours and no decoration. */
export function base(theme, revision, margin) {
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

/** Returns what every axis shares, and `more`. */
export function axis(theme, more) {
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

