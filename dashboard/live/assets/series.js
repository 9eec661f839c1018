// Scalar series in the browser: steps ascending, values as they came (NaN stays NaN). Pure but for the classes.

export const MAX_POINTS = 4000; // a series is never longer: a page that is open for days stays as light as it was

/** One scalar series that grows at its end; beyond `limit` points, older ones are thinned. */
export class Series {
  constructor(limit = MAX_POINTS) {
    this.limit = limit;
    this.steps = [];
    this.values = [];
    this.total = 0; // points there ever were; more than are here once they were thinned
  }

  /** Adds points. A step already passed means a newer attempt: what it redoes is forgotten. */
  append({ steps, values }) {
    for (let i = 0; i < steps.length; i++) {
      while (this.steps.length && this.steps[this.steps.length - 1] >= steps[i]) {
        this.steps.pop();
        this.values.pop();
        this.total--;
      }
      if (!this.steps.length) this.total = 0;
      this.steps.push(steps[i]);
      this.values.push(values[i]);
      this.total++;
    }
    if (this.steps.length > this.limit) Object.assign(this, thinBySteps(this, this.limit / 2));
  }

  /** Puts stored points where their steps belong: they replace what is there between their first and their last. */
  merge(points) {
    const stored = new Series();
    stored.append(points); // of several attempts the newest counts
    if (!stored.length) return;
    const before = this.steps.findIndex((step) => step >= stored.steps[0]);
    const after = this.steps.findIndex((step) => step > stored.steps[stored.length - 1]);
    this.total = Math.max(this.total, stored.total);
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

/** The exponential moving average of a series over about `span` points, kept up point by point. */
export class Smoothed extends Series {
  constructor(span) {
    super();
    this.span = span;
    this.count = 0; // finite points so far
  }

  /** Takes what the service smoothed over all of the `count` finite points there were. */
  adopt(points, count) {
    this.steps = points.steps;
    this.values = points.values;
    this.count = count;
  }

  /** Goes on with raw points. */
  extend({ steps, values }) {
    const keep = 1 - 2 / (this.span + 1);
    for (let i = 0; i < steps.length; i++) {
      while (this.steps.length && this.steps[this.steps.length - 1] >= steps[i]) {
        this.steps.pop();
        this.values.pop();
        this.count = Math.max(0, this.count - 1);
      }
      if (!this.steps.length) this.count = 0;
      // Without a bias towards the start: the sum of weights so far is 1 − keep**count.
      const before = this.count ? this.last * (1 - keep ** this.count) : 0;
      if (Number.isFinite(values[i])) this.count++;
      const value = Number.isFinite(values[i])
        ? (keep * before + (1 - keep) * values[i]) / (1 - keep ** this.count)
        : this.last ?? NaN;
      this.append({ steps: [steps[i]], values: [value] });
    }
  }
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

/**
 * Returns at most `limit` points: of each stretch of steps the lowest, the highest and one that is no number, and the
 * first and the last of all.
 *
 * Stretches are a power of two wide and begin at its multiples, so thinning again what was thinned loses nothing more.
 */
export function thinBySteps({ steps, values }, limit) {
  const span = steps[steps.length - 1] - steps[0] + 1;
  const width = 2 ** Math.ceil(Math.log2(Math.max(1, (3 * span) / limit)));
  const out = { steps: [], values: [] };
  let start = 0;
  while (start < steps.length) {
    const stretch = Math.floor(steps[start] / width);
    let [low, high, odd] = [-1, -1, -1];
    let i = start;
    for (; i < steps.length && Math.floor(steps[i] / width) === stretch; i++) {
      if (!Number.isFinite(values[i])) odd = odd < 0 ? i : odd;
      else {
        if (low < 0 || values[i] < values[low]) low = i;
        if (high < 0 || values[i] > values[high]) high = i;
      }
    }
    const first = start === 0 ? 0 : -1;
    const last = i === steps.length ? i - 1 : -1;
    for (const k of [...new Set([first, low, high, odd, last])].filter((at) => at >= 0).sort((a, b) => a - b)) {
      out.steps.push(steps[k]);
      out.values.push(values[k]);
    }
    start = i;
  }
  return out;
}
