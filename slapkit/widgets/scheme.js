// Tells Python whether the page is light or dark, now and when that changes; and keeps plots as wide as their box.

function render({ model, el: root }) {
  const media = window.matchMedia("(prefers-color-scheme: dark)");

  function tell() {
    const said = document.body.dataset.jpThemeLight;
    const dark = said === undefined ? media.matches : said === "false";
    if (model.get("dark") !== dark) {
      model.set("dark", dark);
      model.save_changes();
    }
  }

  // A plot drawn before its box had a width keeps plotly's own 700 px until the window says that it was resized.
  const sizes = new ResizeObserver(([entry]) => {
    const width = entry.contentRect.width;
    const plots = [...entry.target.querySelectorAll(".js-plotly-plot .main-svg")];
    if (width && plots.some((plot) => Math.abs(plot.getBoundingClientRect().width - width) > 24)) {
      window.dispatchEvent(new Event("resize"));
    }
  });
  const frame = requestAnimationFrame(() => root.parentElement && sizes.observe(root.parentElement));

  const watch = new MutationObserver(tell);
  watch.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  media.addEventListener("change", tell);
  root.style.display = "none";
  tell();
  return () => {
    cancelAnimationFrame(frame);
    sizes.disconnect();
    watch.disconnect();
    media.removeEventListener("change", tell);
  };
}

export default { render };
