// Plotly of the installed Python package: five megabytes, loaded once a page and only when something is to be drawn.

let plotly = null;

/** Returns a promise of Plotly from `address`; after a failure the next call tries again. */
export function loadPlotly(address) {
  plotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      plotly = null;
      script.remove();
      reject(new Error(`could not load ${address}`));
    };
    document.head.append(script);
  });
  return plotly;
}
