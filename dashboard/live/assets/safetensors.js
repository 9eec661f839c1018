// Reads the blobs that sm3/remote/frames.py writes: an 8-byte little-endian header length, a JSON header, then raw
// little-endian arrays. Nothing here draws, connects or keeps state.

const VIEWS = {
  F64: Float64Array,
  F32: Float32Array,
  I64: BigInt64Array,
  I32: Int32Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

/** Returns {metadata, arrays}: arrays maps a name to {shape, values}; values is a typed array. */
export function decode(buffer) {
  if (buffer.byteLength < 8) throw new Error("not a safetensors blob: shorter than 8 bytes");
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const start = 8 + length;
  if (start > buffer.byteLength) throw new Error("not a safetensors blob: its header is cut short");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const arrays = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name !== "__metadata__") arrays.set(name, { shape: entry.shape, values: view(buffer, start, name, entry) });
  }
  return { metadata: header.__metadata__ ?? {}, arrays };
}

function view(buffer, start, name, { dtype, data_offsets: [begin, end] }) {
  const View = VIEWS[dtype];
  if (!View) throw new Error(`array ${name}: dtype ${dtype} is not one that a browser reads`);
  const from = start + begin;
  const count = (end - begin) / View.BYTES_PER_ELEMENT;
  if (from % View.BYTES_PER_ELEMENT === 0) return new View(buffer, from, count);
  return new View(buffer.slice(from, start + end)); // an unaligned array has to be copied
}

/**
 * Returns one binary message in the page's own words.
 *
 * {kind: "frame", attempt, seq, step, time_s, arrays, points}; {kind, points, thinned, statistic} with kind "history",
 * "fill" (of frames that were left out) or "glance", `thinned` mapping a series to the points it had; or in answer to
 * a question {kind: "stored", asked, tensor, step, lr, arrays}, `step` undefined where nothing is stored.
 * points maps a series' name to {steps: number[], values: number[]}.
 */
export function decodeMessage(buffer) {
  const { metadata, arrays } = decode(buffer);
  const points = scalarPoints(metadata, arrays);
  for (const column of ["scalars/step", "scalars/series", "scalars/value"]) arrays.delete(column);
  if (metadata.asked !== undefined) {
    const number = (text) => (text === undefined ? undefined : Number(text));
    const [asked, step, lr] = [metadata.asked, metadata.step, metadata.lr].map(number);
    return { kind: "stored", asked, tensor: metadata.tensor, step, lr, arrays };
  }
  if (metadata.seq === undefined) {
    const { of: kind = "fill", statistic } = metadata;
    return { kind, points, statistic, thinned: JSON.parse(metadata.thinned ?? "{}") };
  }
  return {
    kind: "frame",
    attempt: Number(metadata.attempt),
    seq: Number(metadata.seq),
    step: Number(metadata.step),
    time_s: Number(metadata.time_s),
    arrays,
    points,
  };
}

function scalarPoints(metadata, arrays) {
  const names = namesOf(metadata.series ?? "[]");
  const columns = names.map(() => ({ steps: [], values: [] }));
  const steps = arrays.get("scalars/step")?.values ?? [];
  const series = arrays.get("scalars/series")?.values ?? [];
  const values = arrays.get("scalars/value")?.values ?? [];
  for (let i = 0; i < steps.length; i++) {
    columns[series[i]].steps.push(Number(steps[i]));
    columns[series[i]].values.push(values[i]);
  }
  return new Map(names.map((name, i) => [name, columns[i]]));
}

// Of a model with hundreds of tensors each frame names the same thousands of series.
let lastText = null;
let lastNames = [];

function namesOf(text) {
  if (text !== lastText) [lastText, lastNames] = [text, JSON.parse(text)];
  return lastNames;
}
