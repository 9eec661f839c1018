// What every figure of the live view shares. Pure.

import { power } from "../kit/words.js";

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
export function decadeTicks(low, high, wanted) {
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
