// Where a Plotly axis is on the page. The only place that reads Plotly's full layout.

/** Returns {start, length, pixel(value), value(pixel)} of an axis such as "xaxis", in pixels of the plot's own box. */
export function axisOf(plot, name) {
  const axis = plot._fullLayout?.[name];
  if (!axis) return null;
  return {
    start: axis._offset,
    length: axis._length,
    pixel: (value) => axis._offset + axis.l2p(axis.d2l(value)),
    value: (pixel) => axis.l2d(axis.p2l(pixel - axis._offset)),
  };
}

/** Returns {x, y} of a mouse event in pixels of the plot's own box. */
export function positionIn(plot, event) {
  const box = plot.getBoundingClientRect();
  return { x: event.clientX - box.left, y: event.clientY - box.top };
}

export const OPTIONS = { displayModeBar: false, doubleClick: "reset", showTips: false };

/** Keeps a panel's plot as large as its box once it is drawn, and calls `done` after each change. */
export function followSize(panel, done) {
  const { plot } = panel;
  let before = "";
  new ResizeObserver(([{ contentRect: { width, height } }]) => {
    const size = `${width}x${height}`;
    if (size === before || !width || !height || !plot._fullLayout) return;
    before = size;
    panel.Plotly.Plots.resize(plot).then(done);
  }).observe(plot);
}
