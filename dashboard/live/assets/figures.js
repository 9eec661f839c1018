// The map as a plain Plotly figure {data, layout}: a pure function of what is known and of the theme's colours.

import { logGrid } from "./accumulators.js";
import { power } from "../kit/words.js";

const PROFILE = 0.16; // share of the map's width that the row profile takes
const GAP = 0.012;

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
