// A card that plays: what is on, a seek bar, and the other sounds below it.

function render({ model, el: root }) {
  const [audio, quiet] = soloAudio();
  const python = channel(model);
  const sounds = soundCache(python.ask);
  const title = el("div", { class: "slap-player-title slap-text", text: "" });
  const lines = el("div", { class: "slap-player-lines" });
  const toggle = el("button", { type: "button", class: "slap-round", on: { click: () => press() } });
  const seek = el("input", { type: "range", min: 0, max: 1000, value: 0, step: 1, "aria-label": "position" });
  const time = el("span", { class: "slap-player-time slap-soft", text: "" });
  const bar = el("div", { class: "slap-player-bar" }, toggle, seek, time);
  const note = el("div", { class: "slap-player-note slap-error slap-text", role: "alert", text: "" });
  const list = el("ol", { class: "slap-player-list", "aria-label": "clips" });
  const card = el(
    "section",
    { class: "slap slap-player", "aria-label": "player", "data-lm-suppress-shortcuts": "true" },
    ...[title, lines, bar, note, list, audio],
  );
  let current = 0;
  let loading = false;
  let buttons = [];

  const items = () => model.get("items") || [];

  function describe() {
    const item = items()[current];
    title.textContent = item ? item.title : model.get("empty");
    title.classList.toggle("slap-soft", !item);
    lines.replaceChildren(...(item ? item.lines : []).map((line) => el("div", { class: "slap-text", text: line })));
    bar.hidden = !item;
    card.dataset.current = item ? String(current) : "";
    states();
  }

  function states() {
    const playing = !audio.paused;
    const item = items()[current];
    toggle.dataset.state = loading ? "loading" : playing ? "playing" : "";
    toggle.setAttribute("aria-label", `${playing ? "pause" : "play"} ${item ? item.title : ""}`);
    const known = audio.src && Number.isFinite(audio.duration) && audio.duration > 0;
    seek.disabled = !known;
    seek.value = known ? (1000 * audio.currentTime) / audio.duration : 0;
    seek.setAttribute("aria-valuetext", clock(audio.currentTime));
    time.textContent = known ? `${clock(audio.currentTime)} / ${clock(audio.duration)}` : "";
    buttons.forEach((button, id) => {
      button.setAttribute("aria-current", String(id === current));
      button.firstChild.dataset.state = id === current && playing ? "playing" : "";
    });
  }

  async function choose(id) {
    const generation = model.get("generation");
    const stale = () => current !== id || generation !== model.get("generation");
    current = id;
    loading = true;
    note.textContent = "";
    audio.pause();
    audio.removeAttribute("src"); // until the new sound is there, no press plays the old one
    describe();
    try {
      const sound = await sounds.load(`${generation}:${id}`, { id, generation });
      if (stale()) return;
      audio.src = sound.url;
      card.dataset.state = "ready";
      loading = false;
      // Before the first click a page may not play: the button waits.
      await play(audio);
    } catch (error) {
      if (stale()) return;
      card.dataset.state = "error";
      loading = false;
      audio.removeAttribute("src");
      note.textContent = error.message;
    }
    states();
  }

  function press(id = current) {
    if (id !== current || !audio.src) choose(id);
    else if (audio.paused) audio.play().catch(() => {});
    else audio.pause();
  }

  function draw() {
    audio.pause();
    audio.removeAttribute("src");
    sounds.clear();
    note.textContent = "";
    current = 0;
    loading = false;
    buttons = items().map((item, id) =>
      el(
        "button",
        { type: "button", class: "slap-player-item", "aria-label": `play ${item.title}`, on: { click: () => press(id) } },
        el("span", { class: "slap-player-mark", "aria-hidden": "true" }),
        el("span", { class: "slap-text", text: item.title }),
      ),
    );
    list.replaceChildren(...(buttons.length > 1 ? buttons.map((button) => el("li", {}, button)) : []));
    card.dataset.state = "";
    describe();
  }

  const receive = (message) => {
    if (message && message.type === "play" && message.generation === model.get("generation")) choose(message.id);
  };
  seek.addEventListener("input", () => {
    if (Number.isFinite(audio.duration)) audio.currentTime = (seek.value / 1000) * audio.duration;
  });
  for (const name of ["play", "pause", "ended", "timeupdate", "durationchange"]) audio.addEventListener(name, states);
  model.on("change:generation", draw);
  model.on("msg:custom", receive);
  draw();
  root.append(card);
  return () => {
    model.off("change:generation", draw);
    model.off("msg:custom", receive);
    quiet();
    python.close();
    sounds.clear();
  };
}

export default { render };
