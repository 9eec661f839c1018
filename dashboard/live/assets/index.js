// Entry point of the component: Streamlit calls the default export when it mounts it, and again at each rerun that
// changes its data or its theme. The view outlives the reruns.

import { whenGone } from "./dom.js";
import { LiveView } from "./view.js";

const views = new WeakMap();
let plotly = null;

export default function live({ data, parentElement, setTriggerValue }) {
  let view = views.get(parentElement);
  if (!view) {
    view = new LiveView();
    views.set(parentElement, view);
    parentElement.append(view.element);
    loadPlotly(data.plotly).then(
      (Plotly) => view.drawWith(Plotly),
      (error) => view.cannotDraw(error),
    );
  }
  view.ask = setTriggerValue;
  view.update(data);
  return whenGone(parentElement, () => {
    view.destroy();
    view.element.remove();
    views.delete(parentElement);
  });
}

/** Loads plotly.min.js of the installed Python package once a page. */
function loadPlotly(address) {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error(`could not load ${address}`));
    document.head.append(script);
  });
  return plotly;
}
