"""A page in place of JupyterLab: a widget's own module over a stub of its model, answered by its Python side."""

import base64
from typing import Any

PAGE = """<!doctype html><meta charset="utf-8"><title>widget</title>
<body data-jp-theme-light="true"><div id="widget"></div>"""
MOUNT = """async ({ esm, css, traits }) => {
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const text = (part) => {
    let out = "";
    for (const byte of new Uint8Array(part)) out += String.fromCharCode(byte);
    return btoa(out);
  };
  const listeners = {};
  const emit = (event, ...values) => [...(listeners[event] || [])].forEach((f) => f(...values));
  window.sent = [];
  const model = {
    get: (name) => traits[name],
    on: (event, f) => (listeners[event] ||= []).push(f),
    off: (event, f) => (listeners[event] = (listeners[event] || []).filter((g) => g !== f)),
    send: async (content, _, buffers) => {
      window.sent.push(content);
      const [reply, parts] = await window.python(content, (buffers || []).map(text));
      emit("msg:custom", reply, parts.map((part) => new DataView(bytes(part).buffer)));
    },
  };
  const module = await import(URL.createObjectURL(new Blob([esm], { type: "text/javascript" })));
  module.default.render({ model, el: document.getElementById("widget") });
}"""


def mount(page: Any, widget: Any) -> None:
    """Show a widget on a page of its own."""

    def python(content: dict[str, Any], buffers: list[str]) -> list[Any]:
        parts = [base64.b64decode(part) for part in buffers]
        reply = widget.handle(content, parts) if parts else widget.handle(content)
        return [reply, [base64.b64encode(part).decode() for part in reply.pop("buffers", [])]]

    page.route("http://widget.test/**", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    page.goto("http://widget.test/")
    page.expose_function("python", python)
    names = [name for name in widget.traits(sync=True) if not name.startswith("_")]
    plain = (str, int, float, list, dict, bool)
    traits = {name: getattr(widget, name) for name in names if isinstance(getattr(widget, name), plain)}
    page.evaluate(MOUNT, {"esm": str(widget._esm), "css": str(getattr(widget, "_css", "")), "traits": traits})
