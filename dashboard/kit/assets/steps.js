// Which steps a job has frames of, and moving among them. Pure.
//
// A job makes a frame after its first step, after each multiple of `every`, and after its last. What it records more
// often (record.probe_settings) lies between and is found by its step in the address.

/** Returns how many frames there are up to the step `newest`. */
export function numFrames(every, newest) {
  if (newest < 1) return 0;
  return multiples(every, newest) + (every > 1 ? 1 : 0) + (newest > 1 && newest % every ? 1 : 0);
}

/** Returns the step of frame `index`, from 0; the last one is `newest`. */
export function stepOf(index, every, newest) {
  if (index >= numFrames(every, newest) - 1) return newest;
  return every > 1 ? Math.max(1, index * every) : index + 1;
}

/** Returns the index of the last frame of at most `step`, or of the first. */
export function indexOf(step, every, newest) {
  if (step >= newest) return Math.max(0, numFrames(every, newest) - 1);
  return Math.max(0, multiples(every, step) - (every > 1 ? 0 : 1));
}

const multiples = (every, step) => Math.floor(step / every);

/** Returns how many frames to go on at a time so that playing `frames` of them takes about `ticks` pictures at most. */
export const stride = (frames, ticks = 120) => Math.max(1, Math.ceil(frames / ticks));
