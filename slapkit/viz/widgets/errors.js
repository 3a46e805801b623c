// Captions placed worst on the left; on the right the track that the caption describes and what was found instead.

function render({ model, el: root }) {
  const options = model.get("options");
  const python = channel(model);
  const deck = makeDeck(python.ask);
  const pictures = cacheOf(200);
  let views = [];
  let open = -1;
  let shown = -1; // the caption whose tracks are there: those of `open` may not have come yet
  const notice = el("span", { class: "slap-notice slap-text", role: "status", "data-kind": "hint", text: options.hint });
  const status = el("span", { class: "slap-text", role: "status", "aria-live": "polite", text: options.status });
  const right = el("div", { class: "slap-errors-right" });
  const entries = options.captions.map((caption) =>
    el(
      "li",
      {},
      el(
        "button",
        { type: "button", class: "slap-errors-caption", on: { click: () => choose(caption) } },
        el("span", { class: "slap-text", text: caption.text }),
        el("span", { class: "slap-soft", text: caption.rank }),
      ),
    ),
  );
  const list = el("ol", { class: "slap-errors-list", "aria-label": "captions placed worst" }, ...entries);
  const view = el(
    "section",
    { class: "slap slap-bench slap-errors", "aria-label": "errors to listen to", "data-lm-suppress-shortcuts": "true" },
    el("div", { class: "slap-row slap-message" }, notice),
    el("div", { class: "slap-errors-body" }, list, right),
    el("div", { class: "slap-foot slap-soft" }, status),
    deck.audio,
  );

  function say(text) {
    notice.textContent = text || options.hint;
    notice.dataset.kind = text ? "error" : "hint";
  }

  function mark(caption) {
    open = caption.caption;
    entries.forEach((entry, i) =>
      entry.firstChild.setAttribute("aria-current", String(options.captions[i].caption === open)),
    );
  }

  async function choose(caption) {
    mark(caption);
    try {
      const [reply] = await python.ask({ type: "open", caption: caption.caption });
      if (reply.caption === open) draw(reply);
    } catch (error) {
      say(error.message);
    }
  }

  function draw(reply) {
    const drawn = [];
    const group = (title, cards, marks) => {
      const made = cards.map((card) => makeCard(card, options.model, { marks, does }));
      drawn.push(...made);
      const list = el("ol", { class: "slap-cards", "aria-label": title }, ...made.map((m) => m.node));
      return [el("h3", { class: "slap-column-name", text: title }), list];
    };
    shown = reply.caption;
    say("");
    right.replaceChildren(
      ...group("What the caption describes", reply.own, false),
      ...group("What was found first", reply.found, true),
    );
    right.scrollTop = 0;
    views = drawn;
    views[0].node.tabIndex = 0;
    deck.move(views);
    paint(python.ask, pictures, drawn, () => drawn === views);
  }

  const does = {
    play: (card) => deck.press(card),
    seek: (card, seconds) => deck.seek(card, seconds),
    async mark(card) {
      const message = { type: "mark", id: card.card.id, model: options.model, caption: shown, on: !card.marked };
      try {
        const [reply] = await python.ask(message);
        card.setMarked(reply.on);
        card.say("");
        status.textContent = reply.status;
      } catch (error) {
        card.say(error.message);
      }
    },
  };

  view.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const place = entries.findIndex((entry) => entry.firstChild === event.target);
    if (place < 0) walk(event, views, deck.press, () => {});
    else if (step) {
      event.preventDefault();
      const next = entries[place + step]?.firstChild;
      next?.focus({ preventScroll: true });
      next?.scrollIntoView({ block: "nearest" });
    }
  });

  root.append(view);
  if (options.first) {
    mark(options.captions[0]);
    draw(options.first);
  } else right.append(el("div", { class: "slap-empty slap-soft", text: "There is no caption to show." }));
  return () => {
    deck.close();
    python.close();
  };
}

export default { render };
