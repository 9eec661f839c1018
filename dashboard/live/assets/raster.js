// The map's cells as pixels of a canvas, under the axes that Plotly draws.
//
// Plotly itself gives the browser each refresh as a new picture, packed as PNG into an address; Chromium keeps the last
// thousand of these unpacked, a quarter of a gigabyte after some minutes of five refreshes a second.

import { h } from "../kit/dom.js";

const SHADES = 256;

export class Raster {
  constructor() {
    this.element = h("canvas", { class: "sm3-raster", "aria-hidden": "true" });
    this.cells = document.createElement("canvas"); // one pixel a cell
    this.ramp = "";
  }

  /**
   * Takes the cells: `z` row by row, undefined where there is nothing, coloured by `colorscale` from `zmin` to `zmax`;
   * `width` and `height` say how many of the tensor's entries a cell is wide and high.
   */
  fill({ z, zmin, zmax, colorscale, width, height }) {
    Object.assign(this, { width, height });
    const [rows, columns] = [z.length, z[0].length];
    Object.assign(this.cells, { width: columns, height: rows });
    const context = this.cells.getContext("2d");
    const shades = this.#shades(colorscale);
    const image = context.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    const scale = zmax > zmin ? (SHADES - 1) / (zmax - zmin) : 0;
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        const value = z[i][j];
        if (!Number.isFinite(value)) continue; // clear: the hatching shows through
        pixels[i * columns + j] = shades[Math.max(0, Math.min(SHADES - 1, Math.round((value - zmin) * scale)))];
      }
    }
    context.putImageData(image, 0, 0);
  }

  /** Paints what the axes show of them; `x` and `y` are as `axisOf` has them. */
  paint(x, y) {
    const sharpness = window.devicePixelRatio;
    const size = { width: Math.round(x.length * sharpness), height: Math.round(y.length * sharpness) };
    for (const [name, pixels] of Object.entries(size)) if (this.element[name] !== pixels) this.element[name] = pixels;
    Object.assign(this.element.style, { left: `${x.start}px`, top: `${y.start}px`, width: `${x.length}px`, height: `${y.length}px` });
    const context = this.element.getContext("2d");
    context.clearRect(0, 0, this.element.width, this.element.height);
    const across = visible(x, this.width, this.cells.width, sharpness);
    const down = visible(y, this.height, this.cells.height, sharpness);
    if (!across || !down) return;
    context.imageSmoothingEnabled = false;
    context.drawImage(this.cells, across.first, down.first, across.count, down.count, across.at, down.at, across.extent, down.extent);
  }

  /** Returns the colours as the canvas has them in memory. */
  #shades(colorscale) {
    const ramp = JSON.stringify(colorscale);
    if (ramp === this.ramp) return this.shades;
    const strip = Object.assign(document.createElement("canvas"), { width: SHADES, height: 1 });
    const context = strip.getContext("2d");
    // From the middle of the first pixel to that of the last: these two have the ends' colours.
    const gradient = context.createLinearGradient(0.5, 0, SHADES - 0.5, 0);
    for (const [at, color] of colorscale) gradient.addColorStop(at, color);
    context.fillStyle = gradient;
    context.fillRect(0, 0, SHADES, 1);
    this.ramp = ramp;
    this.shades = new Uint32Array(context.getImageData(0, 0, SHADES, 1).data.buffer);
    return this.shades;
  }
}

/** Returns which cells an axis shows, whole ones, and where these are in the canvas's pixels; null if none. */
function visible(axis, entries, cells, sharpness) {
  const ends = [axis.value(axis.start), axis.value(axis.start + axis.length)];
  const first = Math.max(0, Math.floor(Math.min(...ends) / entries));
  const count = Math.min(cells, Math.ceil(Math.max(...ends) / entries)) - first;
  if (!(count > 0)) return null;
  const [at, end] = [first, first + count].map((cell) => (axis.pixel(cell * entries) - axis.start) * sharpness);
  return { first, count, at, extent: end - at };
}
