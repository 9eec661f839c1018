// Scalar series in the browser: steps ascending, values as they came (NaN stays NaN). Pure but for Series itself.

/** One scalar series that grows at its end. */
export class Series {
  constructor() {
    this.steps = [];
    this.values = [];
  }

  /** Adds points. A step already passed means a newer attempt: what it redoes is forgotten. */
  append({ steps, values }) {
    for (let i = 0; i < steps.length; i++) {
      while (this.steps.length && this.steps[this.steps.length - 1] >= steps[i]) {
        this.steps.pop();
        this.values.pop();
      }
      this.steps.push(steps[i]);
      this.values.push(values[i]);
    }
  }

  /** Puts stored points where their steps belong: they replace what is there between their first and their last. */
  merge(points) {
    const stored = new Series();
    stored.append(points); // of several attempts the newest counts
    if (!stored.length) return;
    const before = this.steps.findIndex((step) => step >= stored.steps[0]);
    const after = this.steps.findIndex((step) => step > stored.steps[stored.length - 1]);
    const head = before < 0 ? this.length : before;
    const tail = after < 0 ? this.length : after;
    this.steps = [...this.steps.slice(0, head), ...stored.steps, ...this.steps.slice(tail)];
    this.values = [...this.values.slice(0, head), ...stored.values, ...this.values.slice(tail)];
  }

  get length() {
    return this.steps.length;
  }

  get last() {
    return this.values[this.values.length - 1];
  }

  /** Returns the index of the point nearest to `step`, or -1 in an empty series. */
  nearest(step) {
    const { steps } = this;
    if (!steps.length) return -1;
    let low = 0;
    let high = steps.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (steps[middle] < step) low = middle + 1;
      else high = middle;
    }
    return low > 0 && step - steps[low - 1] < steps[low] - step ? low - 1 : low;
  }
}

/** Returns how many points the smoothing reaches over: about a fiftieth of the series, from 5 to 200. */
export function smoothingSpan(length) {
  return Math.max(5, Math.min(200, Math.round(length / 50)));
}

/** Returns the exponential moving average of `values` over about `span` points, without a bias towards its start. */
export function smooth(values, span) {
  const keep = 1 - 2 / (span + 1);
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    if (Number.isFinite(value)) {
      sum = keep * sum + (1 - keep) * value;
      weight = keep * weight + (1 - keep);
    }
    return weight ? sum / weight : NaN;
  });
}

/** Returns at most about `limit` points: the lowest and the highest of each stretch, so that no spike is lost. */
export function thin({ steps, values }, limit = 1200) {
  if (steps.length <= limit) return { steps, values };
  const out = { steps: [], values: [] };
  const stretch = Math.ceil((2 * steps.length) / limit);
  for (let start = 0; start < steps.length; start += stretch) {
    const end = Math.min(start + stretch, steps.length);
    let low = start;
    let high = start;
    for (let i = start + 1; i < end; i++) {
      if (values[i] < values[low]) low = i;
      if (values[i] > values[high]) high = i;
    }
    for (const i of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
      out.steps.push(steps[i]);
      out.values.push(values[i]);
    }
  }
  return out;
}
