// Shared by all widgets. Everything from data goes through textContent; nothing is ever parsed as HTML.

/** Make an element: attributes, `text` as text, `on` as listeners, then children. */
function el(tag, { text, on = {}, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, String(value));
  }
  for (const [name, listener] of Object.entries(on)) node.addEventListener(name, listener);
  // Text from data keeps its own direction and cannot turn the text beside it.
  if (text !== undefined) {
    node.textContent = String(text);
    if (!node.hasAttribute("dir")) node.setAttribute("dir", "auto");
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** "1:05" of a number of seconds. */
function clock(seconds) {
  if (!Number.isFinite(seconds)) return "0:00";
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** An audio element that pauses when any other player of the page starts. Returns [audio, cleanup]. */
function soloAudio(attributes = {}) {
  const audio = el("audio", { preload: "none", ...attributes });
  const announce = () => document.dispatchEvent(new CustomEvent("slapkit-play", { detail: audio }));
  const listen = (event) => {
    if (event.detail !== audio) audio.pause();
  };
  audio.addEventListener("play", announce);
  document.addEventListener("slapkit-play", listen);
  return [
    audio,
    () => {
      audio.pause();
      document.removeEventListener("slapkit-play", listen);
    },
  ];
}

/** Start a sound. It is no error that a page may not play before the first click, or that another one takes its place. */
async function play(audio) {
  await audio.play().catch((error) => {
    if (error.name !== "NotSupportedError") return;
    audio.pause(); // or it would seem to play
    throw new Error("this browser cannot play that file");
  });
}

/**
 * Questions to the Python side, each with its own answer: ask(message, buffers) -> Promise of [reply, buffers].
 * An answer of type "error", or none in time, rejects with words to show.
 */
function channel(model, patience = 60000) {
  const waiting = new Map();
  const me = Math.random().toString(36).slice(2);
  let count = 0;
  const receive = (reply, buffers) => {
    const entry = reply && reply.request ? waiting.get(reply.request) : undefined;
    if (!entry) return;
    waiting.delete(reply.request);
    clearTimeout(entry.timer);
    if (reply.type === "error") entry.reject(new Error(reply.text));
    else entry.resolve([reply, buffers || []]);
  };
  model.on("msg:custom", receive);
  return {
    ask(message, buffers) {
      const request = `${me}-${++count}`;
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(request);
          reject(new Error("Python does not answer: is its kernel running, and no cell busy?"));
        }, patience);
        waiting.set(request, { resolve, reject, timer });
        model.send({ ...message, request }, undefined, buffers);
      });
    },
    close() {
      model.off("msg:custom", receive);
      waiting.forEach((entry) => clearTimeout(entry.timer));
      waiting.clear();
    },
  };
}

/** Answers kept by key, the oldest let go beyond `most`: get(key, make) -> Promise. */
function cacheOf(most, letGo = () => {}) {
  const kept = new Map();
  const drop = (key) => {
    const promise = kept.get(key);
    kept.delete(key);
    promise.then(letGo).catch(() => {});
  };
  return {
    get(key, make) {
      if (!kept.has(key)) {
        const promise = make();
        kept.set(key, promise);
        promise.catch(() => kept.get(key) === promise && kept.delete(key));
        if (kept.size > most) drop(kept.keys().next().value);
      }
      return kept.get(key);
    },
    clear: () => [...kept.keys()].forEach(drop),
  };
}

/** Sounds asked for once each; the bytes come as one binary buffer and live in a Blob until they are let go. */
function soundCache(ask, most = 60) {
  const cache = cacheOf(most, (sound) => URL.revokeObjectURL(sound.url));
  return {
    load: (key, message) =>
      cache.get(key, async () => {
        const [reply, buffers] = await ask({ type: "sound", ...message });
        return { ...reply, url: URL.createObjectURL(new Blob([buffers[0]], { type: reply.mime })) };
      }),
    clear: cache.clear,
  };
}
