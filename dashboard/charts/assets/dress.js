// From a figure as Python describes it to one that Plotly draws in the page's theme. Pure.

import { tint } from "../kit/theme.js";

const AXIS = /^[xy]axis\d*$/;

/** Returns {data, layout} with colours for the tokens, and what all charts share where the figure says nothing. */
export function dress({ data, layout }, theme, revision) {
  const used = new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((name) => AXIS.test(name))]);
  for (const trace of data) {
    for (const way of ["x", "y"]) if (trace[`${way}axis`]) used.add(trace[`${way}axis`].replace(/^([xy])/, "$1axis"));
  }
  const shared = common(theme, revision);
  const axes = {};
  for (const name of used) axes[name] = { ...axisLook(theme, name.startsWith("y")), ...layout[name] };
  const hasAxes = data.some(({ type }) => !["treemap", "sunburst", "icicle", "pie", "indicator"].includes(type));
  return {
    data: data.map((trace) => tinted(trace, theme)),
    layout: tinted({ ...shared, ...layout, font: { ...shared.font, ...layout.font }, ...(hasAxes ? axes : {}), margin: { ...MARGIN, ...layout.margin } }, theme),
  };
}

const MARGIN = { l: 56, r: 16, t: 8, b: 40, pad: 0 };

function common(theme, revision) {
  return {
    uirevision: revision,
    autosize: true,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme.font, size: 12, color: theme.muted },
    colorway: theme.series,
    showlegend: false,
    hovermode: "closest",
    dragmode: "zoom",
    hoverlabel: { bgcolor: theme.paper, bordercolor: theme.line, align: "left", font: { family: theme.font, size: 13, color: theme.text } },
  };
}

function axisLook(theme, isValue) {
  return {
    zeroline: false,
    showgrid: isValue,
    gridcolor: theme.grid,
    ticks: isValue ? "" : "outside",
    ticklen: 4,
    tickcolor: theme.line,
    linecolor: theme.line,
    automargin: false,
  };
}

/** Returns `part` with every text of the form "@name" replaced by its colour. Data arrays stay as they are. */
function tinted(part, theme) {
  if (typeof part === "string") return part.startsWith("@") ? tint(theme, part) : part;
  if (Array.isArray(part)) return part.some((item) => typeof item !== "number" && item !== null) ? part.map((item) => tinted(item, theme)) : part;
  if (part && typeof part === "object" && !ArrayBuffer.isView(part)) {
    return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, DATA.has(name) ? value : tinted(value, theme)]));
  }
  return part;
}

// Texts in these come from users: a tensor may be called "@accent".
const DATA = new Set(["x", "y", "z", "text", "labels", "parents", "ids", "values", "customdata", "hovertext", "name", "ticktext", "title", "hovertemplate", "texttemplate"]);
