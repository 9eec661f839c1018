// Events as vertical marks on a chart over steps: a thin line with a shape on top. Pure.

const MOST = 24; // more lines than this hide the curve; the list has them all

const LATE = 0.75; // share of the axis from which on words stand to the left of their line

/** Returns {shapes, annotations} of the newest `events`, each {step, glyph, word, text, kind}, on an axis to `steps`. */
export function marksOf(events, theme, steps) {
  const newest = events.filter(({ step }) => step > 0).slice(0, MOST); // that it began is told by where the curve does
  const isCrowded = newest.length > 5;
  return {
    shapes: newest.map(({ step, kind }) => ({
      type: "line",
      xref: "x",
      yref: "paper",
      x0: step,
      x1: step,
      y0: 0,
      y1: 1,
      line: { color: kind === "failed" ? theme.text : theme.muted, width: 1, dash: kind === "move" ? "dot" : "dash" },
      layer: "below",
    })),
    annotations: newest.map(({ step, glyph, word, text }) => ({
      xref: "x",
      yref: "paper",
      x: step,
      y: 1,
      ...(step > LATE * steps ? { xanchor: "right", xshift: -2 } : { xanchor: "left", xshift: 2 }),
      yanchor: "top",
      showarrow: false,
      text: isCrowded ? glyph : `${glyph} ${word.toLowerCase()}`,
      hovertext: text,
      captureevents: false,
      font: { size: 12, color: theme.text },
      bgcolor: theme.paper,
      opacity: 0.9,
    })),
  };
}
