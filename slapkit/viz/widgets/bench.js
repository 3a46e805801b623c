// The search bench: controls, columns of cards, one line that says what happened.

const PAUSE_MS = 250; // between the last key and the search
const DIM_MS = 120; // answers faster than this never dim the old results
const BUSY_MS = 2000; // beyond this the reader sees that Python is busy

function render({ model, el: root }) {
  const options = model.get("options");
  const python = channel(model);
  const deck = makeDeck(python.ask);
  const pictures = cacheOf(400);
  const state = { busy: false, again: null, views: [], timer: 0, focusFirst: false };

  // Controls.
  const box = el("input", {
    type: "search",
    class: "slap-query",
    placeholder: "slow solo flute, melancholic",
    "aria-label": "what to search for",
    autocomplete: "off",
    spellcheck: "false",
    dir: "auto",
  });
  const names = options.models.map((m) => m.name);
  const pairs = names.flatMap((a, i) => names.slice(i + 1).map((b) => [a, b]));
  const choices = [...names.map((name) => [name]), ...pairs];
  const which = el(
    "select",
    { "aria-label": "model", on: { change: () => search() } },
    ...choices.map((choice, i) => el("option", { value: i, text: choice.join(" | ") })),
  );
  const count = el("input", { type: "number", class: "slap-k", min: 1, max: 100, step: 1, "aria-label": "results" });
  const picker = el("input", { type: "file", accept: options.audio.join(), class: "slap-hidden", tabindex: -1 });
  const bySound = el("button", {
    type: "button",
    text: "by an audio file…",
    title: "or drop a file here",
    on: {
      click: () => {
        picker.value = ""; // or the same file again would be no change
        picker.click();
      },
    },
  });
  const terms = makeTerms(() => {
    box.focus(); // the button pressed is gone
    search();
  });
  const filters = makeFilters(options.filters, options.first_filters, options.start.where, () => search());
  const suggestions = options.suggestions.map((text) =>
    el("button", { type: "button", class: "slap-chip", text, on: { click: () => addWords(text) } }),
  );
  const label = (text, control) => el("label", { class: "slap-filter" }, el("span", { class: "slap-soft", text }), control);
  const form = el(
    "form",
    { role: "search", class: "slap-controls" },
    el(
      "div",
      { class: "slap-row" },
      box,
      el("button", { type: "submit", class: "slap-go", text: "Search" }),
      bySound,
      picker,
      label("model", which),
      label("k", count),
    ),
    el("div", { class: "slap-row" }, ...filters.nodes),
    filters.rest,
  );

  // What comes back.
  const notice = el("span", { class: "slap-notice slap-text", role: "status", "aria-live": "polite", text: options.hint });
  const columns = el("div", { class: "slap-columns" });
  const status = el("span", { class: "slap-text", text: "ready" });
  const past = makePast((text) => {
    box.value = text;
    terms.set([]);
    search();
  });
  const code = el("code", { class: "slap-text", dir: "ltr", text: "library.search(...)" });
  const foot = el(
    "div",
    { class: "slap-foot slap-soft" },
    status,
    past.node,
    el("span", {}, el("button", { type: "button", class: "slap-quiet", text: "save as playlist", on: { click: save } })),
    el("span", { class: "slap-code slap-text" }, "as DataFrame: ", code),
  );
  const bench = el(
    "section",
    // JupyterLab must not take the arrows, the space bar or letters for its own shortcuts.
    { class: "slap slap-bench", "aria-label": "search bench", "data-lm-suppress-shortcuts": "true" },
    form,
    el(
      "div",
      { class: "slap-row slap-message" },
      terms.node,
      notice,
      el("span", { class: "slap-chips", role: "group", "aria-label": "add to the query" }, ...suggestions),
    ),
    ...[columns, foot, deck.audio],
  );

  function say(text, kind = "") {
    notice.textContent = text || options.hint;
    notice.dataset.kind = text ? kind : "hint";
    notice.setAttribute("role", kind === "error" ? "alert" : "status");
  }

  function request(live) {
    return {
      type: "search",
      live,
      query: box.value,
      terms: terms.plain(),
      k: Number(count.value),
      where: filters.get(),
      models: choices[Number(which.value)],
    };
  }

  /** At most one search is under way; of those that come meanwhile only the last one follows. */
  async function search(live = false) {
    clearTimeout(state.timer);
    const message = request(live);
    if (state.busy) {
      state.again = message;
      return;
    }
    state.busy = true;
    const dim = setTimeout(() => columns.setAttribute("aria-busy", "true"), DIM_MS);
    const wait = () => say("Python is busy with a cell: the answer follows when that is done", "empty");
    const busy = setTimeout(wait, BUSY_MS);
    let next = message;
    while (next) {
      state.again = null;
      try {
        const [reply] = await python.ask(next);
        if (!state.again) show(reply, next);
      } catch (error) {
        if (!state.again) {
          say(error.message, "error");
          columns.setAttribute("data-stale", "true");
        }
      }
      next = state.again;
    }
    clearTimeout(dim);
    clearTimeout(busy);
    columns.removeAttribute("aria-busy");
    state.busy = false;
  }

  function show(reply, message) {
    past.draw(reply.history);
    if (reply.type === "nothing") {
      say(reply.text, "empty");
      columns.toggleAttribute("data-stale", state.views.length > 0);
      if (!state.views.length) columns.replaceChildren(el("div", { class: "slap-empty slap-soft", text: reply.text }));
      return;
    }
    const failed = reply.columns.find((column) => column.error);
    const silent = reply.columns.find((column) => column.text);
    say(failed ? failed.text : silent ? silent.text : reply.notice, failed ? "error" : "warning");
    // A search that failed everywhere leaves the last results to look at, dimmed.
    columns.toggleAttribute("data-stale", reply.columns.every((column) => column.error));
    if (columns.hasAttribute("data-stale") && state.views.length) return;
    status.textContent = reply.status;
    code.textContent = reply.code;
    // A result that comes late replaces the card that someone has stepped to: they stay on it, or on the first.
    const held = state.views.find((view) => view.node.contains(document.activeElement));
    draw(reply.columns);
    if (held && state.views.length) {
      const same = !state.focusFirst && state.views.find((view) => view.card.id === held.card.id);
      focusCard(state.views, same || state.views[0]);
    }
    state.focusFirst = false;
    columns.dataset.query = message.query;
  }

  function draw(found) {
    const inColumn = (ids, id) => ids.indexOf(id) + 1;
    const ids = found.map((column) => column.cards.map((card) => card.id));
    const drawn = [];
    const nodes = found.map((column, i) => {
      const views = column.cards.map((card) => makeCard(card, column.model, { marks: options.marks, does }));
      drawn.push(...views);
      if (found.length > 1) {
        views.forEach((view) => {
          const rank = inColumn(ids[1 - i], view.card.id);
          view.other(rank ? `#${rank} in ${found[1 - i].model}` : "");
        });
      }
      const about = options.models.find((m) => m.name === column.model) || {};
      const head = el("h3", { class: "slap-column-name", "data-objective": about.color, text: column.model });
      const list = el("ol", { class: "slap-cards", "aria-label": `results of ${column.model}` });
      list.append(...views.map((view) => view.node));
      const empty = column.text ? el("div", { class: "slap-empty slap-soft", text: column.text }) : null;
      return el("div", { class: "slap-column" }, found.length > 1 ? head : null, views.length ? list : empty);
    });
    columns.replaceChildren(...nodes);
    columns.dataset.columns = String(found.length);
    columns.scrollTop = 0;
    state.views = drawn;
    if (drawn.length) drawn[0].node.tabIndex = 0;
    deck.move(drawn);
    paint(python.ask, pictures, drawn, () => drawn === state.views);
  }

  const does = {
    play: (view) => deck.press(view),
    seek: (view, seconds) => deck.seek(view, seconds),
    like(card) {
      box.value = "";
      terms.set([]);
      addTrack("+", card);
    },
    also: (card) => addTrack("+", card),
    unlike: (card) => addTrack("-", card),
    async mark(view) {
      const message = { type: "mark", id: view.card.id, model: view.model, query: columns.dataset.query || "" };
      try {
        const [reply] = await python.ask({ ...message, on: !view.marked });
        // The cards may be those of another query by now.
        const same = columns.dataset.query === message.query;
        state.views.filter((v) => same && v.card.id === reply.id).forEach((v) => v.setMarked(reply.on));
        view.say("");
      } catch (error) {
        view.say(error.message);
      }
    },
  };

  function addTrack(sign, card) {
    terms.add({ sign, kind: "track", key: card.id, title: card.title });
    state.focusFirst = true;
    search();
  }

  async function save() {
    try {
      const [reply] = await python.ask({ type: "save" });
      say(reply.text, "empty");
    } catch (error) {
      say(error.message, "error");
    }
  }

  function addWords(text) {
    const words = box.value.trimEnd();
    box.value = words || !text.startsWith("+") ? `${words} ${text}`.trim() : text.replace(/^\+\s*/, "");
    box.focus();
    search();
  }

  async function useFile(file) {
    if (!file) return;
    say(`reading ${file.name}…`, "empty");
    try {
      const term = await sendFile(python.ask, file);
      box.value = "";
      terms.set([term]);
      search();
    } catch (error) {
      say(error.message, "error");
    }
  }

  function keys(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target !== box) walk(event, state.views, deck.press, () => box.focus());
    else if (event.key === "ArrowDown" && state.views.length) {
      event.preventDefault();
      focusCard(state.views, state.views[0]);
    }
  }

  const stop = (event) => event.preventDefault();
  form.addEventListener("submit", (event) => {
    stop(event);
    search();
  });
  box.addEventListener("input", () => {
    clearTimeout(state.timer);
    state.timer = setTimeout(() => search(true), PAUSE_MS);
  });
  joinPastedLines(box, () => search());
  count.addEventListener("change", () => search());
  picker.addEventListener("change", () => useFile(picker.files[0]));
  bench.addEventListener("keydown", keys);
  bench.addEventListener("click", (event) => {
    if (!past.node.contains(event.target)) past.close();
  });
  takeDrops(bench, useFile);

  box.value = options.start.query;
  count.value = options.start.k;
  which.value = String(options.start.compare ? names.length : 0);
  say("");
  past.draw([]);
  root.append(bench);
  // What the bench opens with came along: it is there before Python has done the cells below.
  if (options.first) show(options.first, request(false));
  else search();
  return () => {
    clearTimeout(state.timer);
    deck.close();
    python.close();
  };
}

export default { render };
