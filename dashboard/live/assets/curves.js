// The charts over steps as plain Plotly figures {data, layout}: pure functions of the store and the theme's colours.

import { axis, base, decadeTicks } from "./figures.js";
import { SPANS } from "./store.js";
import { thin } from "./series.js";

/** Returns the span to smooth a series over when none is chosen: about a fiftieth of its points. */
export function usualSpan(count) {
  return SPANS.filter((span) => 50 * span <= count).pop() ?? SPANS[0];
}

function line(name, { steps, values }, style) {
  return { type: "scatter", mode: "lines", name, x: steps, y: values, hoverinfo: "skip", connectgaps: false, ...style };
}

function timeLayout(theme, revision, steps, value) {
  return {
    ...base(theme, revision, { l: 48, r: 12, t: 6, b: 26 }),
    xaxis: axis(theme, { range: [0, steps], nticks: 5, tickformat: "~s", minallowed: 0 }),
    yaxis: axis(theme, { showgrid: true, gridcolor: theme.grid, ticks: "", nticks: 5, ...value }),
    annotations: [{ xref: "paper", yref: "paper", x: 0, y: 0, xanchor: "right", yanchor: "top", xshift: -14, yshift: -5, text: "step", showarrow: false, font: { size: 12, color: theme.muted } }],
  };
}

const points = (name, series, symbol, theme) => ({
  ...line(name, series, {}),
  mode: "markers",
  cliponaxis: false,
  marker: { symbol, size: 8, color: theme.second, line: { color: symbol.endsWith("open") ? theme.second : theme.paper, width: symbol.endsWith("open") ? 2 : 1 } },
});

/** Returns the loss: raw ghosted, smoothed on top, validation as points, of the averaged parameters too. */
export function lossFigure(store, theme, { revision, steps, log, span }) {
  const loss = store.get("loss");
  const validation = store.get("val_loss");
  const smoothed = span ? store.smooth("loss", span) : null;
  const raw = smoothed ? { color: theme.ghost, width: 1 } : { color: theme.accent, width: 1 };
  return {
    data: [
      line("loss", log ? positive(thin(loss)) : thin(loss), { line: raw }),
      line(smoothed ? `smoothed over ${span} points` : "smoothed", smoothed ? thin(smoothed) : NOTHING, { line: { color: theme.accent, width: 2 } }),
      points("validation", validation, "diamond", theme),
      points("validation, averaged weights", store.get("val_loss_averaged"), "circle-open", theme),
    ],
    layout: timeLayout(theme, revision, steps, log ? { type: "log", dtick: "D1", minor: { showgrid: false }, ...logRange(loss, validation) } : { type: "linear" }),
  };
}

const NOTHING = { steps: [], values: [] };

/** Returns the range that holds all of `series`. Left to itself, Plotly spans two decades around a single value. */
function logRange(...series) {
  const [low, high] = extent(series);
  if (low === Infinity) return {};
  const middle = Math.sqrt(low * high);
  return { range: [Math.min(low / 1.05, middle / 1.3), Math.max(high * 1.05, middle * 1.3)].map(Math.log10) };
}

/** Returns the least and the largest positive number of `series`. */
function extent(series) {
  let [low, high] = [Infinity, -Infinity];
  for (const { values } of series) {
    for (const value of values) {
      if (!(value > 0 && value < Infinity)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return [low, high];
}

/** Returns the band p5 to p95 of the effective learning rate with its median. */
export function rateFigure(store, theme, { revision, steps, tensor, log }) {
  const [low, middle, high] = ["rate_p05", "rate_p50", "rate_p95"].map((name) => {
    const series = thin(store.get(`${name}/${tensor}`));
    return log ? positive(series) : series;
  });
  return {
    data: [
      line("p5", low, { line: { color: theme.accentLine, width: 1 } }),
      line("p95", high, { line: { color: theme.accentLine, width: 1 }, fill: "tonexty", fillcolor: theme.accentSoft }),
      line("median", middle, { line: { color: theme.accent, width: 2 } }),
    ],
    layout: timeLayout(theme, revision, steps, log ? { type: "log", ...wholeDecades(low, high) } : { type: "linear", rangemode: "tozero", tickformat: ".1~e" }),
  };
}

function wholeDecades(...series) {
  const [low, high] = extent(series);
  return low === Infinity ? {} : decadeTicks(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)), 4);
}

function positive({ steps, values }) {
  return { steps, values: values.map((value) => (value > 0 ? value : null)) };
}

/** Returns the share of rows and columns whose gradient was all zero, and of entries never touched. */
export function zerosFigure(store, theme, { revision, steps, tensor, log }) {
  const [rows, columns, untouched] = ["zero_rows", "zero_cols", "untouched"].map((name) => {
    const series = thin(store.get(`${name}/${tensor}`));
    return log ? positive(series) : series;
  });
  const [low] = extent([rows, columns, untouched]);
  const from = Math.max(-6, Math.min(-1, Math.floor(Math.log10(low === Infinity ? 0.1 : low))));
  const ticks = Array.from({ length: 1 - from }, (_, k) => 10 ** (from + k));
  const shares = log
    ? { type: "log", range: [from, 0.05], tickvals: ticks, ticktext: ticks.map((share) => `${Number((100 * share).toPrecision(1))} %`) }
    : { type: "linear", range: [-0.03, 1.03], tickvals: [0, 0.5, 1], ticktext: ["0 %", "50 %", "100 %"] };
  return {
    data: [
      line("rows", rows, { line: { color: theme.accent, width: 2 } }),
      line("columns", columns, { line: { color: theme.second, width: 1.5, dash: "dash" } }),
      line("never touched", untouched, { line: { color: theme.muted, width: 1.5, dash: "dot" } }),
    ],
    layout: timeLayout(theme, revision, steps, { ...shares, fixedrange: true }),
  };
}
