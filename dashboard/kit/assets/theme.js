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
    series: isDark(paper) ? SERIES_DARK : SERIES_LIGHT,
    isDark: isDark(paper),
  };
}

// Okabe and Ito's colours, which colour-blind people tell apart; lightness moved for contrast of 3:1 with the paper.
// Whoever uses one also gives a dash or a symbol.
const SERIES_LIGHT = ["#0072b2", "#c75000", "#00805c", "#b0568c", "#8a6a00", "#2f8cc4", "#4d4d4d"];
const SERIES_DARK = ["#56b4e9", "#ff8c42", "#2fc79b", "#e59ac4", "#f0d442", "#8fd0f5", "#c8c8c8"];

const isDark = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b < 128;

const NAMED = { accent: "accent", second: "second", text: "text", muted: "muted", paper: "paper", line: "line", grid: "grid" };

/**
 * Returns the colour that `token` names, such as "@accent", "@c2" (a series' colour, from 1) or "@accent/0.2" (with its
 * opacity); any other text is returned as it is.
 */
export function tint(theme, token) {
  const found = /^@([a-z]+)(\d*)(?:\/([\d.]+))?$/.exec(token);
  if (!found) return token;
  const [, name, number, alpha] = found;
  const color = name === "c" ? theme.series[(Number(number) - 1) % theme.series.length] : theme[NAMED[name]];
  if (!color) throw new Error(`there is no colour ${token}`);
  return alpha === undefined ? color : css(rgb(color), Number(alpha));
}

/** Returns the colour of `token` laid over the page's own with the opacity `share`: a plain, opaque colour. */
export function blend(theme, token, share) {
  return css(mix(rgb(tint(theme, token)), rgb(theme.paper), share));
}

function resolve(root, variable) {
  const probe = document.createElement("span");
  probe.style.color = `var(${variable})`;
  root.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

const rgb = (color) => color.startsWith("#")
  ? [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16))
  : (color.match(/[\d.]+/g) ?? [0, 0, 0]).slice(0, 3).map(Number);
const mix = (a, b, share) => a.map((value, i) => Math.round(share * value + (1 - share) * b[i]));
const css = ([r, g, b], alpha = 1) => `rgba(${r},${g},${b},${alpha})`;
