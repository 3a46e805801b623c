// Reports to Python whether the page is dark and what is clicked in plots, and keeps these as wide as their box.

function render({ model, el: root }) {
  const media = window.matchMedia("(prefers-color-scheme: dark)");

  function report() {
    const said = document.body.dataset.jpThemeLight;
    const dark = said === undefined ? media.matches : said === "false";
    if (model.get("dark") !== dark) {
      model.set("dark", dark);
      model.save_changes();
    }
  }

  // A plot drawn before its box had a width keeps plotly's own 700 px until the window says that it was resized.
  const tried = new WeakMap(); // plot -> width of its box: one that keeps a width of its own is asked once
  // A figure's own report of a click is lost where the pointer leaves the point before Python has answered its hover.
  const heard = new WeakSet();
  function listen(plot) {
    if (heard.has(plot) || !plot.on) return;
    heard.add(plot);
    plot.on("plotly_click", ({ points: [{ curveNumber, pointNumber }] }) =>
      model.send({ trace: curveNumber, point: pointNumber }),
    );
  }
  function fit() {
    const box = root.parentElement;
    const width = box ? box.clientWidth : 0;
    const drawn = box ? [...box.querySelectorAll(".js-plotly-plot")] : [];
    drawn.forEach(listen);
    const wrong = (width ? drawn : []).filter((plot) => {
      const svg = plot.querySelector(".main-svg");
      return svg && tried.get(plot) !== width && Math.abs(svg.getBoundingClientRect().width - width) > 24;
    });
    wrong.forEach((plot) => tried.set(plot, width));
    if (wrong.length) window.dispatchEvent(new Event("resize"));
  }
  const sizes = new ResizeObserver(fit);
  let waiting;
  // Another plot may take the place of the first. A browser keeps about sixteen WebGL contexts, and takes them from plots
  // on show before the ones of plots that are gone are collected.
  const plots = new MutationObserver((changes) => {
    const removed = changes.flatMap((change) => [...change.removedNodes]).filter((node) => node.querySelectorAll);
    for (const canvas of removed.flatMap((node) => [...node.querySelectorAll("canvas")])) {
      const gl = canvas.isConnected ? null : canvas.getContext("webgl");
      if (gl) gl.getExtension("WEBGL_lose_context")?.loseContext();
    }
    clearTimeout(waiting);
    waiting = setTimeout(fit, 150);
  });
  const frame = requestAnimationFrame(() => {
    if (!root.parentElement) return;
    sizes.observe(root.parentElement);
    plots.observe(root.parentElement, { childList: true, subtree: true });
  });

  const watch = new MutationObserver(report);
  watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  media.addEventListener("change", report);
  root.style.display = "none";
  report();
  return () => {
    cancelAnimationFrame(frame);
    clearTimeout(waiting);
    plots.disconnect();
    sizes.disconnect();
    watch.disconnect();
    media.removeEventListener("change", report);
  };
}

export default { render };
