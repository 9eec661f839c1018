// Why the map cannot show something, what is known instead, and how a job records it. Pure.

import { bytes } from "../kit/words.js";

const PROBES = { nu: "accumulators", rate: "accumulators", g2: "squares", tightness: "tightness", activation: "activation" };

/** Returns {why, how, code}: for `mode` of `tensor`, whose frame does not hold it; `known` as in layers.js. */
export function absence(mode, tensor, known) {
  const { record } = known;
  const probe = PROBES[mode];
  if (mode === "activation" && tensor.shape.length < 2) return { why: "A vector has no rows and columns to be active.", how: "" };
  if ((mode === "nu" || mode === "rate") && !tensor.cover && !tensor.parts.length) return { why: "The optimizer has no cover for this tensor, or its accumulators are not recorded.", how: "" };
  if (mode === "tightness" && tensor.cover === "singletons") return { why: "0 bits: every entry has an accumulator of its own, so ν is AdaGrad's exact sum.", how: "" };
  if (mode === "rate" && known.lr === null) return { why: "The learning rate of this step is not recorded.", how: "" };
  if (!record.probes.includes(probe)) return { why: `${NAMES[mode]} is not recorded by this job.`, how: "A job that is to show it is launched with", code: `"record": {"probes": ${JSON.stringify([...record.probes, probe]).replaceAll(",", ", ")}}` };
  if (mode === "tightness" && known.estimate("truth_level") === undefined) return { why: estimateOf(known), ...truthHint(tensor, record) };
  return { why: `The frame of this step holds no ${NAMES[mode]} of this tensor.`, how: "It had no dense gradient then, or record.probe_settings reads it at other steps." };
}

const NAMES = { nu: "ν", rate: "ν", g2: "g²", tightness: "tightness", activation: "activation" };

function estimateOf({ estimate }) {
  const [level, low, high, spread, p99] = ["level", "level_lo", "level_hi", "spread", "p99"].map((part) => estimate(`tightness_${part}`));
  if (level === undefined || Number.isNaN(level)) return "A map of tightness needs AdaGrad's exact sums of all entries.";
  const [a, b, c, d, e] = [level, low, high, spread, p99].map((bits) => bits.toFixed(1));
  return `From sampled entries: ${a} bits above AdaGrad in the median (95 %: ${b} to ${c}), spread ${d}; one in a hundred lies ${e} or more above.`;
}

function truthHint(tensor, record) {
  const size = 4 * tensor.shape.reduce((a, b) => a * b, 1);
  const limit = size > record.truth_limit_bytes ? `, "truth_limit_bytes": ${size}` : "";
  return {
    how: `A map needs every exact sum, ${bytes(size)} more while the job runs. Launch it with`,
    code: `"record": {"truth": [${JSON.stringify(tensor.name)}]${limit}}`,
  };
}
