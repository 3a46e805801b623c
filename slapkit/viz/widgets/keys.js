// The keyboard among results: up and down walk through a column, left and right change it, space plays.

/** Give the focus to a card, which alone of all is in the tab order from then on. */
function focusCard(views, view) {
  views.forEach((v) => (v.node.tabIndex = v === view ? 0 : -1));
  view.node.focus({ preventScroll: true });
  view.node.scrollIntoView({ block: "nearest" });
}

/** Handle a key pressed on or in a card; `leave` is called for a step up from the first one. */
function walk(event, views, play, leave) {
  const node = event.target.closest(".slap-card");
  const view = node && views.find((v) => v.node === node);
  if (!view) return;
  if (event.key === " " && event.target === node) {
    event.preventDefault();
    play(view);
    return;
  }
  const column = views.filter((v) => v.model === view.model);
  const place = column.indexOf(view);
  const beside = () => views.filter((v) => v.model !== view.model)[place];
  const steps = {
    ArrowDown: () => column[place + 1],
    ArrowUp: () => column[place - 1],
    ArrowLeft: beside,
    ArrowRight: beside,
  };
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  const next = step();
  if (next) focusCard(views, next);
  else if (event.key === "ArrowUp") leave();
}

/** A button that opens the list of earlier queries; `again` gets the one chosen. */
function makePast(again) {
  const button = el("button", { type: "button", class: "slap-quiet" });
  const list = el("ul", { class: "slap-past", "aria-label": "earlier queries" });
  const node = el("span", { class: "slap-past-box" }, button, list);
  const toggle = (open) => {
    list.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
  };
  button.addEventListener("click", () => toggle(list.hidden));
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || list.hidden) return;
    toggle(false);
    button.focus();
  });
  toggle(false);
  return {
    node,
    close: () => toggle(false),
    draw(history) {
      button.textContent = `${history.length} ${history.length === 1 ? "query" : "queries"} in history`;
      button.disabled = !history.length;
      const choose = (text) => () => {
        toggle(false);
        button.focus();
        again(text);
      };
      const entry = (text) => el("li", {}, el("button", { type: "button", text, on: { click: choose(text) } }));
      list.replaceChildren(...[...history].reverse().map(entry));
    },
  };
}
