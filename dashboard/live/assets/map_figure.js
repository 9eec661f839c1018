// The map as a Plotly figure: axes, colour bar and both profiles, and the cells that `raster.js` paints between them.
// Pure: a layer and colours in, {data, layout, cells} out.

import { axis, base } from "./figures.js";
import { blend } from "../kit/theme.js";
import { ticksOf } from "./scale.js";

const PROFILE = 0.16; // share of the map's width that the row profile takes
const GAP = 0.012;
const BAR = 0.93; // where the heatmap ends and the colour bar may begin

/**
 * Returns the map of `layer` with its profiles: they sit on the cells' own axes, so a pixel is the same index.
 *
 * Of the cells its traces have only the colour bar; `printed` returns them with a heatmap.
 */
export function mapFigure(layer, theme, { revision, range, isNarrow = false }) {
  const columnEdges = layer.columns.edges;
  const rowEdges = layer.rank1 ? [0, 1] : layer.rows.edges;
  const hasRows = !layer.rank1 && layer.rows.values !== null;
  const hasColumns = layer.columns.values !== null;
  const left = hasRows ? PROFILE : 0;
  const top = hasColumns ? (layer.rank1 ? 0.78 : 0.8) : 1;
  const cells = {
    x: columnEdges,
    y: rowEdges,
    z: layer.grid(),
    zmin: range[0],
    zmax: range[1],
    colorscale: colors(layer, theme),
    width: columnEdges[1] - columnEdges[0],
    height: rowEdges[1] - rowEdges[0],
  };
  const bar = { colorscale: cells.colorscale, showscale: layer.scale !== "flag", colorbar: colorbar(layer, theme, range, top) };
  const marker = { ...bar, color: [range[0]], cmin: range[0], cmax: range[1] };
  const data = [{ type: "scatter", mode: "markers", name: layer.mode, x: [null], y: [null], marker, hoverinfo: "none" }];
  if (hasColumns) data.push(profile(layer, layer.columns, range, theme, { x: "x", y: "y2" }, false));
  if (hasRows) data.push(profile(layer, layer.rows, range, theme, { x: "x2", y: "y" }, true));
  const [numColumns, numRows] = [columnEdges[columnEdges.length - 1], rowEdges[rowEdges.length - 1]];
  const value = valueAxis(layer, theme, range, 3);
  const across = valueAxis(layer, theme, range, isNarrow ? 1 : 3); // side by side, three labels would touch
  const layout = {
    ...base(theme, revision, { l: 64, r: 8, t: 6, b: 38 }),
    xaxis: axis(theme, {
      domain: [left ? left + GAP : 0, BAR],
      range: [0, numColumns],
      minallowed: 0,
      maxallowed: numColumns,
      anchor: "y",
      nticks: 9,
      title: axisTitle(layer.rank1 ? "entry" : `column (dim ${layer.dims[1]})`),
      tickformat: ",d",
    }),
    yaxis: axis(theme, {
      domain: [0, top - (hasColumns ? 2 * GAP : 0)],
      range: [numRows, 0],
      minallowed: 0,
      maxallowed: numRows,
      anchor: left ? "x2" : "x",
      nticks: 7,
      fixedrange: layer.rank1,
      showticklabels: !layer.rank1,
      ticks: layer.rank1 ? "" : "outside",
      title: axisTitle(layer.rank1 ? "" : `row (dim ${layer.dims[0]})`),
      tickformat: ",d",
    }),
  };
  if (hasColumns) layout.yaxis2 = axis(theme, { ...value, domain: [top, 1], anchor: "x" });
  if (hasRows) layout.xaxis2 = axis(theme, { ...across, range: value.range.toReversed(), domain: [0, left - GAP / 2], anchor: "y", tickangle: 0 });
  return { data, layout, cells };
}

/** Returns the figure's traces with the cells as a heatmap, for a picture that is drawn once. */
export function printed({ data: [{ name, marker }, ...profiles], cells: { x, y, z, zmin, zmax } }) {
  const { colorscale, showscale, colorbar: bar } = marker;
  return [{ type: "heatmap", name, x, y, z, zmin, zmax, zsmooth: false, colorscale, showscale, colorbar: bar }, ...profiles];
}

const axisTitle = (text) => ({ text, standoff: 4, font: { size: 12 } });

// As matplotlib has it (van der Walt and Smith, 2015), at ten places, between which it is all but straight.
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"]
  .map((color, k, { length }) => [k / (length - 1), color]);

/** Returns the colours: Viridis for magnitudes, one hue from pale to full for bits, two around a middle for differences. */
function colors({ scale }, theme) {
  if (scale === "log") return VIRIDIS;
  if (scale === "flag") return [[0, theme.accent], [1, theme.accent]];
  if (scale === "bits") return [[0, blend(theme, "@accent", 0.1)], [0.6, blend(theme, "@accent", 1)], [1, blend(theme, "@text", 0.9)]];
  return [[0, blend(theme, "@c1", 1)], [0.5, blend(theme, "@text", 0.07)], [1, blend(theme, "@c2", 1)]];
}

function colorbar(layer, theme, range, top) {
  const ticks = ticksOf(layer, range, 6);
  return {
    x: BAR + 0.015,
    xpad: 0,
    ypad: 0,
    thickness: 10,
    len: top,
    y: 0,
    yanchor: "bottom",
    outlinewidth: 0,
    tickvals: ticks.map(({ at }) => at),
    ticktext: ticks.map(({ text }) => text),
    tickfont: { color: theme.muted, size: 12 },
    ticklen: 3,
    tickcolor: theme.line,
    title: { text: { log: layer.symbol, bits: "bits", ratio: "bits" }[layer.scale] ?? "", side: "top", font: { color: theme.muted, size: 13 } },
  };
}

/** Returns the axis of a profile; its range is as Plotly has it, log10 where the axis is one. */
function valueAxis(layer, theme, [low, high], wanted) {
  const isLog = layer.scale === "log";
  const ticks = ticksOf(layer, [low, high], wanted);
  const room = layer.scale === "flag" ? 1.1 : high;
  return {
    type: isLog ? "log" : "linear",
    fixedrange: true,
    range: [low, room],
    showgrid: true,
    gridcolor: theme.grid,
    tickmode: "array",
    tickvals: ticks.map(({ at }) => (isLog ? 10 ** at : at)),
    ticktext: layer.scale === "change" ? ticks.map(() => "") : ticks.map(({ text }) => text),
  };
}

/** Returns one filled step line: a single outline, closed along the scale's floor, or along 0 of a difference. */
function profile({ scale }, { edges, at = edges, values }, [low], theme, axes, upright) {
  const floor = scale === "log" ? 10 ** low : 0;
  const signed = scale === "ratio" || scale === "change";
  const along = [at[0]];
  const height = [floor];
  for (let k = 0; k < values.length; k++) {
    const value = values[k] > floor || (signed && Number.isFinite(values[k])) ? values[k] : floor;
    along.push(at[k], at[k + 1]);
    height.push(value, value);
  }
  along.push(at[at.length - 1]);
  height.push(floor);
  return {
    type: "scatter",
    name: upright ? "row profile" : "column profile",
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
