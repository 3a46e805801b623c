// The exported map: hover draws the line from a caption to its clip, a click plays. Texts are set as text, never parsed.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const map = document.getElementById("map");
  const card = document.getElementById("card");
  const heading = card.querySelector("h2");
  const lines = document.getElementById("lines");
  const audio = card.querySelector("audio");
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const light = { template: data.figure.layout.template, hoverlabel: data.figure.layout.hoverlabel };
  const flat = data.places[0][0].length === 2;
  const clips = data.clips.length;
  let chosen = null;

  const ink = () => data.ink[scheme.matches ? 1 : 0];
  const axis = (letter, panel) => `${letter}${panel ? panel + 1 : ""}`;

  function line(panel, from, to) {
    const [a, b] = [data.places[panel][from], data.places[panel][to]];
    return {
      type: "line", xref: axis("x", panel), yref: axis("y", panel),
      x0: a[0], y0: a[1], x1: b[0], y1: b[1], line: { color: ink(), width: 1.5 },
    };
  }

  // The rows whose line is drawn for a point: a caption's own, or those of all captions of a clip.
  function captionsOf(role, index) {
    if (role === "text") return [index];
    return data.clipOf.flatMap((clip, caption) => (clip === index ? [caption] : []));
  }

  function draw(role, index) {
    if (!flat) return;
    const captions = role ? captionsOf(role, index) : [];
    const shapes = data.places.flatMap((_, panel) =>
      captions.map((caption) => line(panel, clips + caption, data.clipOf[caption])));
    Plotly.relayout(map, { shapes });
  }

  function ring(role, index) {
    const row = role === "text" ? clips + index : index;
    const traces = map.data.flatMap((trace, i) => (trace.meta && trace.meta.role === "ring" ? [i] : []));
    const places = data.places.map((place) => place[row]);
    const update = { "marker.color": ink() };
    ["x", "y", "z"].slice(0, places[0].length).forEach((name, k) => { update[name] = places.map((p) => [p[k]]); });
    Plotly.restyle(map, update, traces);
  }

  function show(panel, role, index) {
    const clip = role === "text" ? data.clipOf[index] : index;
    const about = data.clips[clip];
    const said = role === "text"
      ? [data.captions[panel].texts[index], ...data.captions.map((c) => `${c.model}: ${c.ranks[index]}`)]
      : about.lines;
    heading.textContent = role === "text" ? `Clip of the caption: ${about.title}` : about.title;
    lines.replaceChildren(...said.map((text) => {
      const p = document.createElement("p");
      p.dir = "auto";
      p.textContent = text;
      return p;
    }));
    const sound = data.sounds[clip];
    audio.pause();
    audio.hidden = !sound;
    if (sound) {
      audio.src = `data:audio/ogg;base64,${sound}`;
      audio.setAttribute("aria-label", about.title);
      audio.play().catch(() => {});
    } else {
      audio.removeAttribute("src");
      const p = document.createElement("p");
      p.textContent = "This page has no excerpt of it: the clips with larger circles have one.";
      lines.append(p);
    }
    chosen = [role, index];
    ring(role, index);
  }

  const point = (event) => {
    const hit = event.points && event.points[0];
    const meta = hit && hit.data.meta;
    return meta && (meta.role === "audio" || meta.role === "text") ? [meta.panel, meta.role, hit.pointNumber] : null;
  };

  function dress() {
    const names = data.names[scheme.matches ? 1 : 0];
    const annotations = map.layout.annotations.map((note, i) =>
      i < names.length ? { ...note, font: { ...note.font, color: names[i] } } : note);
    const layout = { ...map.layout, annotations, ...(scheme.matches ? data.dark : light) };
    Plotly.react(map, map.data, layout).then(() => chosen && ring(...chosen));
  }

  const config = { displaylogo: false, responsive: true, scrollZoom: true };
  Plotly.newPlot(map, data.figure.data, data.figure.layout, config).then(() => {
    if (scheme.matches) dress();
    map.on("plotly_hover", (event) => { const p = point(event); if (p) draw(p[1], p[2]); });
    map.on("plotly_unhover", () => draw(null));
    map.on("plotly_click", (event) => { const p = point(event); if (p) show(...p); });
    scheme.addEventListener("change", dress);
    document.body.dataset.ready = "true";
  });
})();
