// A picture that can be enlarged and moved, with regions and boxes that people draw; several can move together.
import { html, useEffect, useRef, useState } from "./html.js";
import { viewer as W } from "./words.js";

export const START = { k: 1, x: 0, y: 0 };
const MOST = 24;

/** The view after zooming by `factor` around a point given in shares of the frame from its middle. */
export function zoomed(view, factor, px = 0, py = 0) {
  const k = Math.min(MOST, Math.max(1, view.k * factor));
  const held = (value, p) => (k === 1 ? 0 : Math.min((k - 1) / 2, Math.max((1 - k) / 2, p - ((p - value) * k) / view.k)));
  return { k, x: held(view.x, px), y: held(view.y, py) };
}

function moved(view, dx, dy) {
  const limit = (view.k - 1) / 2;
  const held = (value) => Math.min(limit, Math.max(-limit, value));
  return { ...view, x: held(view.x + dx), y: held(view.y + dy) };
}

/** Zoom, reset and the state of both: for buttons and keys. */
export function useView(of) {
  const [view, setView] = useState(START);
  useEffect(() => setView(START), [of]);
  return [view, setView];
}

export const ZoomButtons = ({ view, setView }) =>
  html`<div class="zoom" role="group" aria-label=${W.zoom}>
    <button onClick=${() => setView(zoomed(view, 1 / 1.5))} disabled=${view.k === 1} aria-label=${W.smaller}>−</button>
    <span class="zoom-at">${W.times(view.k)}</span>
    <button onClick=${() => setView(zoomed(view, 1.5))} aria-label=${W.larger}>+</button>
    <button onClick=${() => setView(START)} disabled=${view.k === 1}>${W.whole}</button></div>`;

/** One picture. `size` [height, width] is that of the file, which boxes count in; `draw(box)` lets people draw. */
export function Viewer({ src, alt, view, setView, size, regions = [], boxes = [], draw, caption }) {
  const frame = useRef();
  const held = useRef(null);
  const [gone, setGone] = useState(false);
  const [ready, setReady] = useState(false);
  const [drawn, setDrawn] = useState(null);
  useEffect(() => (setGone(false), setReady(false)), [src]);
  useEffect(() => {
    const place = frame.current;
    const wheel = (event) => {
      event.preventDefault();
      const box = place.getBoundingClientRect();
      const share = (at, from, length) => (at - from) / length - 0.5;
      setView((old) => zoomed(old, Math.exp(-event.deltaY / 300), share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)));
    };
    place.addEventListener("wheel", wheel, { passive: false });
    return () => place.removeEventListener("wheel", wheel);
  }, [setView]);

  function down(event) {
    if (event.button) return;
    frame.current.setPointerCapture(event.pointerId);
    held.current = { x: event.clientX, y: event.clientY, at: draw ? pixel(event) : null };
  }
  function pixel(event) {
    const [height, width] = size;
    const box = frame.current.querySelector(".scene").getBoundingClientRect();
    const on = (value, most) => Math.min(most, Math.max(0, value));
    return [on(((event.clientX - box.left) / box.width) * width, width), on(((event.clientY - box.top) / box.height) * height, height)];
  }
  function move(event) {
    const from = held.current;
    if (!from) return;
    if (from.at) return setDrawn(between(from.at, pixel(event)));
    const box = frame.current.getBoundingClientRect();
    setView((old) => moved(old, (event.clientX - from.x) / box.width, (event.clientY - from.y) / box.height));
    Object.assign(from, { x: event.clientX, y: event.clientY });
  }
  function up() {
    held.current = null;
    if (drawn && drawn[2] >= 2 && drawn[3] >= 2) draw(drawn);
    setDrawn(null);
  }
  const [height, width] = size ?? [1, 1];
  const style = { transform: `translate(${view.x * 100}%, ${view.y * 100}%) scale(${view.k})` };
  return html`<figure class="viewer">
    <div class="frame ${draw ? "drawing" : ""} ${view.k > 1 ? "moves" : ""}" ref=${frame} onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up}>
      ${gone || !src
        ? html`<p class="gone">${W.notKept}</p>`
        : html`<div class="scene" style=${{ ...style, "--ratio": width / height }}>
            <img class=${ready ? "ready" : ""} src=${src} alt=${alt} draggable=${false} onLoad=${() => setReady(true)} onError=${() => setGone(true)} />
            <svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" aria-hidden="true">
              ${regions.map((one) => html`<rect class="region" x=${one.box[0]} y=${one.box[1]} width=${one.box[2]} height=${one.box[3]} />`)}
              ${[...boxes, ...(drawn ? [drawn] : [])].map((box) => html`<rect class="drawn" x=${box[0]} y=${box[1]} width=${box[2]} height=${box[3]} />`)}
            </svg></div>`}
    </div>
    ${caption && html`<figcaption>${caption}</figcaption>`}</figure>`;
}

function between(from, to) {
  const [left, top] = [Math.min(from[0], to[0]), Math.min(from[1], to[1])];
  return [left, top, Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])].map(Math.round);
}
