// What a search consists of beside its words: sounds added and taken away, filters, files handed over.

const PART = 1 << 20; // bytes of a file sent at once: messages to a kernel must stay small

/** Chips of the sounds in the search; `changed` is called after the reader removes one. */
function makeTerms(changed) {
  const node = el("ul", { class: "slap-terms", "aria-label": "audio in this search" });
  let terms = [];
  const draw = () =>
    node.replaceChildren(
      ...terms.map((term) =>
        el(
          "li",
          { class: "slap-term", "data-sign": term.sign },
          el("bdi", { class: "slap-text", text: `${term.sign === "+" ? "like" : "not"}: ${term.title}` }),
          el("button", {
            type: "button",
            text: "×",
            "aria-label": `remove ${term.title}`,
            on: {
              click: () => {
                terms = terms.filter((other) => other !== term);
                draw();
                changed();
              },
            },
          }),
        ),
      ),
    );
  return {
    node,
    set(next) {
      terms = next;
      draw();
    },
    add(term) {
      this.set([...terms.filter((t) => t.kind !== term.kind || t.key !== term.key), term]);
    },
    plain: () => terms.map(({ sign, kind, key }) => ({ sign, kind, key })),
  };
}

/** Menus of values, one a column; the first few at once, the others behind a button. */
function makeFilters(filters, first, start, changed) {
  const words = ({ label, count }) => (count ? `${label} (${count.toLocaleString("en")})` : label);
  // A search may begin with a range, several values or a fact without a menu: each is a choice of its own.
  const others = Object.keys(start).filter((column) => !filters.some((filter) => filter.column === column));
  const all = [...others.map((column) => ({ column, label: column, values: [] })), ...filters];
  const menus = all.map(({ column, label, values: listed }) => {
    const given = [].concat(start[column] ?? []);
    const wanted = given.length > 1 ? given : (given[0] ?? "");
    const known = wanted === "" || listed.some((v) => v.value === wanted);
    const values = known ? listed : [...listed, { value: wanted, label: [].concat(wanted).join(" or ") }];
    const select = el(
      "select",
      { "aria-label": label, "data-column": column, on: { change: changed } },
      el("option", { value: "", text: "any" }),
      ...values.map((v, i) => el("option", { value: i, text: words(v) })),
    );
    const begin = values.findIndex((v) => v.value === wanted);
    if (begin >= 0) select.value = String(begin);
    const name = el("span", { class: "slap-soft", text: label });
    return { column, values, select, node: el("label", { class: "slap-filter" }, name, select) };
  });
  const rest = el("div", { class: "slap-row", hidden: true }, ...menus.slice(first).map((m) => m.node));
  const more = el("button", {
    type: "button",
    class: "slap-quiet",
    text: "more filters",
    "aria-expanded": "false",
    on: {
      click: () => {
        rest.hidden = !rest.hidden;
        more.setAttribute("aria-expanded", String(!rest.hidden));
        more.textContent = rest.hidden ? "more filters" : "fewer filters";
      },
    },
  });
  const menu = menus.slice(0, first).map((m) => m.node);
  return {
    nodes: menus.length > first ? [...menu, more] : menu,
    rest,
    get() {
      const chosen = menus.filter((m) => m.select.value !== "");
      return Object.fromEntries(chosen.map((m) => [m.column, m.values[Number(m.select.value)].value]));
    },
  };
}

/** Send a file in parts; resolves to its term. */
async function sendFile(ask, file) {
  const key = `${Date.now().toString(36)}${Math.random().toString(36).slice(2)}`;
  let offset = 0;
  for (;;) {
    const part = await file.slice(offset, offset + PART).arrayBuffer();
    const about = { type: "upload", upload: key, name: file.name, offset, size: file.size };
    const [reply] = await ask(about, [part]);
    offset += part.byteLength;
    if (reply.done) return { sign: "+", kind: "sound", key, title: reply.name };
    if (!part.byteLength) throw new Error(`${file.name} could not be read`);
  }
}

/** Lines pasted into a query box become queries of their own, separated as the box shows them. */
function joinPastedLines(box, done) {
  box.addEventListener("paste", (event) => {
    const text = event.clipboardData ? event.clipboardData.getData("text").trim() : "";
    if (!text.includes("\n")) return;
    event.preventDefault();
    box.setRangeText(text.split(/\s*\n\s*/).join("; "), box.selectionStart, box.selectionEnd, "end");
    done();
  });
}

/** A file dropped on a node is handed to `use`; while it hovers, the node says so. Words go where they are dropped. */
function takeDrops(node, use) {
  const file = (event) => event.dataTransfer.types.includes("Files");
  node.addEventListener("dragover", (event) => {
    if (!file(event)) return;
    event.preventDefault();
    node.dataset.drop = "true";
  });
  node.addEventListener("dragleave", () => delete node.dataset.drop);
  node.addEventListener("drop", (event) => {
    if (!file(event)) return;
    event.preventDefault();
    event.stopPropagation();
    delete node.dataset.drop;
    use(event.dataTransfer.files[0]);
  });
}
