// The page's theme as colours that Plotly understands: plain rgba, mixed here.

/** Returns the colours of the theme that `root` stands in. */
export function readTheme(root) {
  const style = getComputedStyle(root);
  const text = rgb(style.color);
  const paper = rgb(style.backgroundColor);
  const accent = rgb(resolve(root, "--accent"));
  const second = rgb(resolve(root, "--second"));
  return {
    font: style.fontFamily,
    text: css(text),
    paper: css(paper),
    muted: css(mix(text, paper, 0.68)),
    line: css(mix(text, paper, 0.3)),
    grid: css(mix(text, paper, 0.1)),
    accent: css(accent),
    accentLine: css(accent, 0.45),
    accentSoft: css(accent, 0.2),
    ghost: css(accent, 0.3),
    second: css(second),
  };
}

function resolve(root, variable) {
  const probe = document.createElement("span");
  probe.style.color = `var(${variable})`;
  root.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

const rgb = (color) => (color.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
const mix = (a, b, share) => a.map((value, i) => Math.round(share * value + (1 - share) * b[i]));
const css = ([r, g, b], alpha = 1) => `rgba(${r},${g},${b},${alpha})`;
