// Tells the browser's profiler, and `benchmarks.dashboard`, when each picture of a page was first there.

const told = new Set();

/** Leaves the mark `sm3:name` in the page's user timings, the first time only. */
export function firstDrawn(name) {
  if (told.has(name)) return;
  told.add(name);
  performance.mark(`sm3:${name}`);
}
