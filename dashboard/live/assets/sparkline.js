// A curve as small as a word. Pure but for `sparkline`, which makes the element.

const [WIDTH, HEIGHT] = [64, 16];

/** Returns an SVG path of a series in a box of 64 × 16; on a log scale, points that have no logarithm are left out. */
export function sparkPath({ steps, values }, { log = false, range = null } = {}) {
  const points = [];
  for (let i = 0; i < steps.length; i++) {
    const y = log ? Math.log10(values[i]) : values[i];
    if (Number.isFinite(y)) points.push([steps[i], y]);
  }
  if (!points.length) return "";
  const ys = points.map(([, y]) => y);
  let [low, high] = range ?? [Math.min(...ys), Math.max(...ys)];
  if (high - low < 1e-12) [low, high] = [low - 1, high + 1];
  const [first, last] = [points[0][0], points[points.length - 1][0]];
  const x = (step) => (last === first ? WIDTH : (WIDTH * (step - first)) / (last - first));
  const y = (value) => 1 + (HEIGHT - 2) * (1 - (Math.min(high, Math.max(low, value)) - low) / (high - low));
  const path = points.map(([step, value], i) => `${i ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  return points.length === 1 ? `M0 ${y(ys[0]).toFixed(1)}L${WIDTH} ${y(ys[0]).toFixed(1)}` : path;
}

/** Returns an empty sparkline; its path is `element.firstChild`. */
export function sparkline() {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  for (const [name, value] of Object.entries({ class: "sm3-spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" })) svg.setAttribute(name, value);
  svg.append(document.createElementNS(space, "path"));
  return svg;
}
