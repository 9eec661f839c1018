// Entry point of the component: Streamlit calls the default export when it mounts it, and again at each rerun that
// changes its data or its theme. The view outlives the reruns.

import { whenGone } from "../kit/dom.js";
import { loadPlotly } from "../kit/plotly.js";
import { LiveView } from "./view.js";

const views = new WeakMap();

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
