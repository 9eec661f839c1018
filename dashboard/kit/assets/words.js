// Numbers and states in words. Pure; every text that the live view shows about a job is made here.

const COUNT = new Intl.NumberFormat("en-US");
const SUPERSCRIPTS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

export const count = (n) => COUNT.format(n);
export const power = (n) => `10${[...String(n)].map((c) => SUPERSCRIPTS[c]).join("")}`;

/** Returns a share of 0 to 1 as 0 %, 0.4 %, 87 %. */
export function percent(share) {
  if (share === undefined || share === null || Number.isNaN(share)) return "–";
  const hundredths = 100 * share;
  if (hundredths > 0 && hundredths < 0.05) return "< 0.1 %";
  return `${hundredths === 0 || hundredths >= 9.95 ? hundredths.toFixed(0) : hundredths.toFixed(1)} %`;
}

/** Returns bytes with three significant digits in a binary unit. */
export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit === 0 ? n : trim(n)} ${units[unit]}`;
}

/** Returns a ratio: 76, 2.0. */
export const times = (x) => (x >= 10 ? count(Math.round(x)) : x.toFixed(1));

function trim(n) {
  return n >= 100 ? n.toFixed(0) : n >= 10 ? n.toFixed(1) : n.toFixed(2);
}

/** Returns a number for reading off a chart: 4.013, 3.2e-4, 0. */
export function reading(x) {
  if (x === undefined || x === null) return "–";
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "−∞";
  const size = Math.abs(x);
  if (size === 0) return "0";
  return size >= 0.01 && size < 10000 ? x.toPrecision(4) : x.toExponential(1);
}

/** Returns a difference with its sign: +0.0094, −0.0110, 0. */
export function signed(x) {
  if (!Number.isFinite(x)) return reading(x);
  const size = Math.abs(x);
  return x === 0 ? "0" : `${x > 0 ? "+" : "−"}${size >= 0.00005 && size < 10000 ? size.toFixed(4) : size.toExponential(1)}`;
}

/** Returns seconds as 58 s, 1:42, 3:05:00. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const pad = (n) => String(n).padStart(2, "0");
  const [h, m] = [Math.floor(s / 3600), Math.floor((s % 3600) / 60)];
  return h ? `${h}:${pad(m)}:${pad(s % 60)}` : `${m}:${pad(s % 60)}`;
}

export const shape = (dims) => (dims.length ? dims.map(count).join(" × ") : "scalar");

/** Returns the page's one message and what supports it, for a job's memory and the name of its optimizer. */
export function headline(memory, optimizer) {
  if (!memory) return { lead: "Waiting for the first step…", detail: "The optimizer's bytes are measured on its tensors once they exist." };
  const all = bytes(memory.state_bytes);
  if (optimizer === "adamw") {
    return {
      lead: `${all} of optimizer state: two numbers a parameter.`,
      detail: `AdamW keeps two for each of the ${count(memory.num_parameters)} parameters; there are no covers to draw.`,
    };
  }
  const momentum = memory.momentum_bytes ? ", momentum included" : "";
  return {
    lead: `${bytes(memory.accumulator_bytes)} of accumulators. AdaGrad would hold ${compared(memory.adagrad_bytes, memory.accumulator_bytes)}.`,
    detail: `Optimizer state in total ${all}${momentum}; Adam would hold ${compared(memory.adam_bytes, memory.state_bytes)}.`,
  };
}

function compared(theirs, ours) {
  if (ours === 0) return `${bytes(theirs)}`;
  const ratio = theirs / ours;
  if (ratio < 0.95) return `${bytes(theirs)}: this is ${times(1 / ratio)}× more`;
  return ratio < 1.05 ? "as much" : `${bytes(theirs)}: ${times(ratio)}× less`;
}

/** Returns how the headline is counted. */
export function accounting(memory) {
  if (!memory) return "";
  const parameters = count(memory.num_parameters);
  return [
    `${parameters} parameters, ${bytes(memory.parameter_bytes)} of weights.`,
    `Measured on the optimizer's own tensors: accumulators ${count(memory.accumulator_bytes)} B, momentum ${count(memory.momentum_bytes)} B.`,
    `Adam: two fp32 numbers a parameter, 8 × ${parameters} = ${count(memory.adam_bytes)} B.`,
    `AdaGrad: one, 4 × ${parameters} = ${count(memory.adagrad_bytes)} B.`,
    memory.averaging_bytes ? `The averaged copy of the weights adds ${count(memory.averaging_bytes)} B beside the optimizer.` : "",
    "Momentum costs the same in all of them; the accumulators are what SM3 shrinks.",
  ].filter(Boolean).join(" ");
}

const FINAL = {
  succeeded: { kind: "done", glyph: "■", word: "DONE" },
  cancelled: { kind: "done", glyph: "■", word: "STOPPED" },
  failed: { kind: "failed", glyph: "✕", word: "FAILED" },
  crashed: { kind: "failed", glyph: "✕", word: "CRASHED" },
};

export const isFinal = (job) => job.state in FINAL;

/**
 * Returns the strip's {kind, glyph, word, note}.
 *
 * `connected` is whether the socket is open, `ageS` the age of the newest frame in seconds or null without one,
 * `staleAfterS` when such an age means trouble, `pinned` the earlier step that the map is held at, or null.
 */
export function status(job, { connected, ageS, staleAfterS, paused, pinned = null }) {
  if (job.state in FINAL) return { ...FINAL[job.state], note: pinned === null ? (paused ? "the view is held" : "") : `map at step ${count(pinned)}` };
  if (!connected) return { kind: "stale", glyph: "▲", word: ageS === null ? "CONNECTING" : `STALE ${duration(ageS)}`, note: ageS === null ? "" : "connection lost, trying again" };
  if (job.state === "cancelling") return { kind: "wait", glyph: "◌", word: "STOPPING", note: "" };
  if (job.state === "paused") return { kind: "wait", glyph: "‖", word: "PAUSED", note: job.cause };
  if (job.state !== "running") return { kind: "wait", glyph: "◌", word: job.state.toUpperCase(), note: job.phase };
  if (ageS !== null && ageS > staleAfterS) return { kind: "stale", glyph: "▲", word: `STALE ${duration(ageS)}`, note: "no new frame" };
  if (pinned !== null) return { kind: "wait", glyph: "◆", word: `PINNED step ${count(pinned)}`, note: paused ? "charts held too; training goes on" : "training goes on" };
  if (paused) return { kind: "wait", glyph: "‖", word: "VIEW HELD", note: "training goes on" };
  return { kind: "live", glyph: "●", word: "LIVE", note: ageS === null ? job.phase || "waiting for the first frame" : "" };
}

/** Returns the sentence that says which set decides an entry: that sentence is SM3. */
export function cellSentence(map, i, j, found) {
  const row = map.rank1 ? "" : `${binName("row", map.rows.edges, i)} ∧ `;
  const place = `${row}${binName(map.rank1 ? "entry" : "column", map.columns.edges, j)}`;
  const nu = `ν = ${reading(found.nu)}`;
  if (found.nu === 0) return `${place}: ν = 0, never touched${found.decides === "row" || found.decides === "column" ? ` (its ${found.decides} is 0)` : ""}`;
  if (found.decides === "entry") return `${place}: ${nu} (${map.isOwn ? "it has an accumulator of its own" : `the least of the ${map.cover} that hold it`})`;
  if (found.row === Infinity || found.column === Infinity) return `${place}: ${nu} (its ${found.row === Infinity ? "column" : "row"} is the only set that holds it)`;
  const sides = `row ${reading(found.row)}, column ${reading(found.column)}`;
  return `${place}: ${nu}, ${found.decides === "both" ? "row and column agree" : `the ${found.decides} decides`} (${sides})`;
}

/** Returns the map's title: what nu is for this cover. */
export function mapTitle(map) {
  if (!map || (map.rank1 && map.isOwn)) return "ν, entry by entry";
  if (map.grid || map.rank1) return map.isOwn ? "ν, entry by entry" : `ν = min over ${map.cover}`;
  if (map.rows.values && map.columns.values) return "ν = min(row, column)";
  return map.rows.values ? "ν = its row's" : "ν = its column's";
}

/** Returns which rows, columns or entries a bin holds: row 3, columns 4–7. */
export function binName(word, edges, k) {
  const [from, to] = [edges[k], edges[k + 1] - 1];
  return to > from ? `${word === "entry" ? "entries" : `${word}s`} ${count(from)}–${count(to)}` : `${word} ${count(from)}`;
}
