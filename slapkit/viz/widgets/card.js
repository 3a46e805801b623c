// One result: rank, play button, picture, words, and what can be done with it.

/** `does`: play(view), seek(view, seconds), like(card), also(card), unlike(card), mark(view). Returns the view of the card. */
function makeCard(card, model, { marks, does }) {
  const view = { card, model, marked: card.marked };
  // "more like this" is short where the card is narrow, and has its whole name for a screen reader all the same.
  const action = ([before, short], run, more = {}) =>
    el(
      "button",
      { type: "button", "aria-label": `${before}${short}: ${card.title}`, on: { click: run }, ...more },
      before ? el("span", { class: "slap-long", text: before }) : null,
      short,
    );
  const play = el("button", {
    type: "button",
    class: "slap-round",
    tabindex: -1,
    on: { click: () => does.play(view) },
  });
  view.picture = makePicture(card, (seconds) => does.seek(view, seconds));
  const other = el("span", { class: "slap-card-other slap-soft", text: "" });
  const more = card.more_captions ? el("span", { class: "slap-soft", text: ` +${card.more_captions} more` }) : null;
  const captions = card.captions.map((caption, i) => {
    const last = i === card.captions.length - 1;
    return el("div", { class: "slap-text" }, el("bdi", { text: `“${caption}”` }), last ? more : null);
  });
  const mark = marks && action(["also ", "relevant"], () => does.mark(view), { class: "slap-mark" });
  const actions = el(
    "div",
    { class: "slap-card-actions", role: "group", "aria-label": "actions" },
    does.like ? action(["more ", "like this"], () => does.like(card)) : null,
    does.also ? action(["", "and this"], () => does.also(card), { title: "search by this one too" }) : null,
    does.unlike ? action(["", "not this"], () => does.unlike(card)) : null,
    mark || null,
  );
  view.node = el(
    "li",
    {
      class: "slap-card",
      tabindex: -1,
      "data-id": card.id,
      "aria-label": `${card.rank}: ${card.title}, ${card.score}`,
    },
    el("span", { class: "slap-card-rank", text: card.rank, "aria-hidden": "true" }),
    play,
    view.picture.node,
    el(
      "div",
      { class: "slap-card-words" },
      el(
        "div",
        { class: "slap-card-head" },
        el("span", { class: "slap-card-title slap-text", text: card.title, title: card.file }),
        other,
        el("span", { class: "slap-card-score", text: card.score, title: "share of the library that fits as well" }),
      ),
      el("div", { class: "slap-card-captions" }, ...captions),
      el(
        "div",
        { class: "slap-card-foot" },
        el("span", { class: "slap-card-facts slap-soft slap-text", text: [...card.facts, card.length].join(" · ") }),
        actions,
      ),
      el("div", { class: "slap-card-note slap-error slap-text", role: "alert", text: "" }),
    ),
  );
  const note = view.node.querySelector(".slap-card-note");
  view.say = (text) => (note.textContent = text);
  view.other = (text) => (other.textContent = text);
  view.state = (state) => {
    play.dataset.state = state;
    play.setAttribute("aria-label", `${state === "playing" ? "pause" : "play"} ${card.title}`);
    view.node.classList.toggle("slap-on", state !== "");
  };
  view.setMarked = (on) => {
    view.marked = on;
    if (mark) mark.setAttribute("aria-pressed", String(on));
  };
  view.state("");
  view.setMarked(card.marked);
  return view;
}

const LONG_S = 60; // a shorter track is played from its beginning

/** The one player of a bench: which card is on, from where, and how far. */
function makeDeck(ask) {
  const [audio, quiet] = soloAudio();
  const sounds = soundCache(ask);
  let view = null;
  let offset = 0; // s of the track at which the sound received begins
  let turn = 0;

  const show = () => {
    if (!view) return;
    view.state(!audio.src ? "loading" : audio.paused ? "" : "playing");
    view.picture.now(!audio.src || (audio.paused && !audio.currentTime) ? null : offset + audio.currentTime);
  };
  for (const name of ["play", "pause", "timeupdate", "seeked", "ended"]) audio.addEventListener(name, show);

  async function start(next, seconds) {
    const mine = ++turn;
    audio.pause();
    audio.removeAttribute("src"); // until the new sound is there, no press plays the old one
    if (view && view !== next) {
      view.state("");
      view.picture.now(null);
    }
    view = next;
    view.say("");
    view.state("loading");
    const { id, window_start_s } = next.card;
    try {
      const sound = await sounds.load(`${next.model}:${id}:${window_start_s}`, {
        model: next.model,
        id,
        start_s: window_start_s,
      });
      if (mine !== turn) return;
      offset = sound.start_s || 0;
      audio.src = sound.url;
      // Of a long track the best window is what the search has found.
      const from = seconds ?? (next.card.duration_s > LONG_S ? window_start_s : offset);
      if (seconds != null || from > offset) audio.currentTime = Math.max(0, from - offset);
      await play(audio);
      if (mine === turn) show();
    } catch (error) {
      if (mine !== turn) return;
      view.state("");
      view.say(error.message);
      view = null;
    }
  }

  return {
    audio,
    press(next) {
      if (view !== next || !audio.src) start(next);
      else if (audio.paused) audio.play().catch(() => {});
      else audio.pause();
    },
    seek(next, seconds) {
      if (view === next && audio.src && audio.readyState) {
        audio.currentTime = Math.max(0, seconds - offset);
        audio.play().catch(() => {});
      } else start(next, seconds);
    },
    /** New results: what plays goes on where its track is still shown, and stops where it is not. */
    move(views) {
      if (!view) return;
      const heir = views.find((v) => v.card.id === view.card.id && v.model === view.model);
      if (heir) {
        view = heir;
        show();
      } else {
        turn++;
        audio.pause();
        view = null;
      }
    },
    close() {
      quiet();
      sounds.clear();
    },
  };
}
