// The charts over steps: what each is called, draws and reads off.

import { lossFigure, rateFigure, zerosFigure } from "./curves.js";
import { percent, reading } from "../kit/words.js";

export const CHARTS = [
  {
    name: "loss",
    title: "Loss, nats",
    log: true,
    series: () => ["loss"],
    smooths: true,
    about: "The loss of every step's batch, in nats a token or an image; lower is better.",
    figure: lossFigure,
    read: (store, at, { span }) => {
      const [loss, validation, averaged] = ["loss", "val_loss", "val_loss_averaged"].map((name) => store.get(name));
      const smoothed = store.smooth("loss", span);
      return [
        ...(span ? [{ look: "accent", text: `smoothed ${reading(smoothed.values[at(smoothed)])}` }] : []),
        { look: span ? "ghost" : "thin", text: `raw ${reading(loss.values[at(loss)])}` },
        { look: "diamond", text: `held out ${reading(validation.values[at(validation)])}` },
        ...(averaged.length ? [{ look: "ring", text: `averaged ${reading(averaged.values[at(averaged)])}` }] : []),
      ];
    },
  },
  {
    name: "rate",
    title: "Effective rate lr/√ν",
    log: true,
    series: (tensor) => [`rate_p50/${tensor}`],
    about: "What a gradient of 1 moves a weight by, over the tensor's entries that were ever touched: median and the middle 90 %.",
    figure: rateFigure,
    read: (store, at, { tensor }) => {
      const [low, middle, high] = ["rate_p05", "rate_p50", "rate_p95"].map((name) => store.get(`${name}/${tensor}`));
      return [
        { look: "accent", text: `median ${reading(middle.values[at(middle)])}` },
        { look: "band", text: `p5 ${reading(low.values[at(low)])} to p95 ${reading(high.values[at(high)])}` },
      ];
    },
  },
  {
    name: "zeros",
    title: "Zero gradients, share",
    log: false,
    series: (tensor) => [`zero_rows/${tensor}`],
    about: "Share of the tensor's rows and columns whose gradient was zero throughout, and of entries that no gradient ever touched.",
    figure: zerosFigure,
    read: (store, at, { tensor }) => {
      const [rows, columns, never] = ["zero_rows", "zero_cols", "untouched"].map((name) => store.get(`${name}/${tensor}`));
      return [
        { look: "accent", text: `rows ${percent(rows.values[at(rows)])}` },
        { look: "dash", text: `columns ${percent(columns.values[at(columns)])}` },
        { look: "dot", text: `never ${percent(never.values[at(never)])}` },
      ];
    },
  },
];
