// Small log-mel pictures: bytes to colours, the best window framed, a line where the sound is.

// From silence to loud, each step brighter than the last, in the project's blue and orange.
const LOUDNESS = [[12, 19, 38], [31, 63, 115], [51, 102, 170], [150, 120, 150], [238, 136, 51], [255, 240, 205]];

function loudness(value) {
  const place = (value / 255) * (LOUDNESS.length - 1);
  const low = Math.min(Math.floor(place), LOUDNESS.length - 2);
  return LOUDNESS[low].map((from, i) => Math.round(from + (LOUDNESS[low + 1][i] - from) * (place - low)));
}
const COLOURS = Array.from({ length: 256 }, (_, value) => loudness(value));

/** A picture of fixed size, empty until `draw`; pressing it plays from there. */
function makePicture(card, onSeek) {
  const canvas = el("canvas", { width: 1, height: 1, "aria-hidden": "true" });
  const frame = el("div", { class: "slap-frame", hidden: true });
  const line = el("div", { class: "slap-now", hidden: true });
  const span = el("span", { class: "slap-span", text: card.span });
  const title = card.span && `best window ${card.span}; press to play from here`;
  const node = el("div", { class: "slap-picture", title }, canvas, frame, line, span);
  let shape = null;
  node.addEventListener("click", (event) => {
    const box = node.getBoundingClientRect();
    const share = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    onSeek(shape ? shape.start_s + share * shape.seconds : 0);
  });
  return {
    node,
    draw(reply, bytes) {
      shape = reply;
      canvas.width = reply.columns;
      canvas.height = reply.rows;
      const image = new ImageData(reply.columns, reply.rows);
      for (let row = 0; row < reply.rows; row++) {
        for (let column = 0; column < reply.columns; column++) {
          // The lowest band comes first and is drawn at the bottom.
          const colour = COLOURS[bytes[row * reply.columns + column]];
          const at = 4 * ((reply.rows - 1 - row) * reply.columns + column);
          image.data.set(colour, at);
          image.data[at + 3] = 255;
        }
      }
      canvas.getContext("2d").putImageData(image, 0, 0);
      const left = (card.window_start_s - reply.start_s) / reply.seconds;
      const width = Math.min(card.window_s / reply.seconds, 1 - left);
      // A frame around everything would say nothing.
      frame.hidden = !(card.window_s > 0 && width > 0 && left >= -0.01 && width < 0.97);
      frame.style.left = `${100 * Math.max(0, left)}%`;
      frame.style.width = `${100 * width}%`;
      node.dataset.state = "drawn";
    },
    fail(text) {
      node.title = text;
      node.dataset.state = "failed";
    },
    now(seconds) {
      const share = shape && seconds !== null ? (seconds - shape.start_s) / shape.seconds : -1;
      line.hidden = !(share >= 0 && share <= 1);
      if (!line.hidden) line.style.left = `${100 * share}%`;
    },
  };
}

/** The picture of a card out of a cache, or asked for: Promise of [about, bytes]. */
function picture(ask, cache, { card, model }) {
  const { id, window_start_s } = card;
  return cache.get(`${model}:${id}:${window_start_s}`, async () => {
    const [about, buffers] = await ask({ type: "picture", model, id, start_s: window_start_s });
    const { buffer, byteOffset, byteLength } = buffers[0];
    return [about, buffer ? new Uint8Array(buffer, byteOffset, byteLength) : new Uint8Array(buffers[0])];
  });
}

/** Draw one picture after the other while its card is `there`: the next search or sound would wait behind all of them. */
async function paint(ask, cache, views, there) {
  for (const view of views) {
    if (!there()) return;
    try {
      const [about, bytes] = await picture(ask, cache, view);
      view.picture.draw(about, bytes);
    } catch (error) {
      view.picture.fail(error.message);
    }
  }
}
