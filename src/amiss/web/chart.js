// Charts on a canvas: one point per part in its order, its verdict as a shape.
import { html, useEffect, useMemo, useRef, useState } from "./html.js";
import { charts as W, labels } from "./words.js";
import { Shape } from "./elements.js";

const HEIGHT = 260;
const KINDS = ["good", "review", "anomalous", "error"];

/** Colours of the page as they are now. */
function colours(place) {
  const style = getComputedStyle(place);
  const of = (name) => style.getPropertyValue(name).trim();
  const probe = (name) => {
    place.style.color = `var(${name})`;
    const found = getComputedStyle(place).color;
    place.style.color = "";
    return found;
  };
  return { ink: probe("--ink"), soft: probe("--soft"), line: probe("--line"), mark: probe("--mark"), font: `12px ${of("--font") || "sans-serif"}`,
    good: probe("--good"), review: probe("--review"), anomalous: probe("--bad"), error: probe("--error") };
}

function shape(context, kind, x, y, size) {
  context.beginPath();
  if (kind === "good") context.arc(x, y, size * 0.62, 0, 7);
  else if (kind === "review") [[0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]].forEach(([dx, dy]) => context.lineTo(x + dx * size, y + dy * size));
  else context.rect(x - size, y - size, 2 * size, 2 * size);
  context.fill();
}

/** Rows [seq, value, limit, label] in order; `log` for p-values, with small ones on top; `since` marks a change. */
export function Points({ rows, log = false, since = null, name, say, open }) {
  const place = useRef();
  const [near, setNear] = useState(null);
  const scheme = useScheme();
  const top = useMemo(() => (log ? null : cap(rows)), [rows, log]);
  const beyond = top === null ? 0 : rows.filter((row) => row[1] > top).length;
  useEffect(() => {
    if (!rows.length || !window.uPlot) return undefined;
    const node = place.current;
    const look = colours(node);
    const ratio = window.devicePixelRatio;
    const rowAt = (index) => rows[index] ?? null;
    const drawPoints = (plot) => {
      const { ctx } = plot;
      const size = (rows.length > 600 ? 2.2 : 3.2) * ratio;
      ctx.save();
      KINDS.forEach((kind) => {
        ctx.fillStyle = look[kind];
        rows.forEach(([, value, , label], index) => {
          if (label !== kind || value === null) return;
          shape(ctx, kind, plot.valToPos(index, "x", true), plot.valToPos(top === null ? value : Math.min(value, top), "y", true), kind === "good" ? size : size * 1.25);
        });
      });
      if (since !== null) drawSince(plot, rows, since, look);
      ctx.restore();
    };
    const axis = { stroke: look.soft, grid: { stroke: look.line, width: 1 }, ticks: { stroke: look.line, width: 1 }, font: look.font };
    const values = rows.map((row) => (row[1] === null || top === null ? row[1] : Math.min(row[1], top)));
    const plot = new window.uPlot({
      width: node.clientWidth, height: HEIGHT, legend: { show: false }, cursor: { y: false, points: { size: 12 } },
      scales: { x: { time: false }, y: log ? { distr: 3, dir: -1, range: (_, low) => [Math.min(low ?? 0.001, 0.001) * 0.7, 1.4] } : { range: bounds } },
      series: [{}, { paths: () => null, points: { show: false }, stroke: look.ink }, { stroke: look.mark, width: 1.5, dash: [6, 4], spanGaps: true, points: { show: false }, paths: window.uPlot.paths.stepped({ align: 1 }) }],
      axes: [{ ...axis, values: (_, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? rowAt(tick)?.[0] ?? "" : "")) }, { ...axis, size: 62 }],
      hooks: { draw: [drawPoints], setCursor: [(own) => setNear(own.cursor.idx ?? null)] },
    }, [rows.map((_, index) => index), values, rows.map((row) => row[2])], node);
    const watch = new ResizeObserver(() => plot.setSize({ width: node.clientWidth, height: HEIGHT }));
    watch.observe(node);
    return () => (watch.disconnect(), plot.destroy());
  }, [rows, log, since, scheme]);
  const row = near === null ? null : rows[near];
  const kinds = KINDS.filter((kind) => rows.some((one) => one[3] === kind && one[1] !== null));
  return html`<figure class="chart">
    <div class="plot" ref=${place} role="img" aria-label=${name} onClick=${() => row && open?.(row)}></div>
    <figcaption><span class="key">${kinds.map((kind) => html`<span><${Shape} of=${kind} />${labels[kind]}</span>`)}<span><i class="dash"></i>${log ? W.alpha : W.threshold}</span></span>
      <span class="near">${row ? say(row) : beyond ? W.beyond(beyond) : W.hover}</span></figcaption></figure>`;
}

/** The highest score that is drawn where it is: a few extreme ones must not flatten all others to a line. */
function cap(rows) {
  const values = rows.map((row) => row[1]).filter((value) => value !== null).sort((a, b) => a - b);
  const limits = rows.map((row) => row[2]).filter((value) => value !== null);
  if (!values.length || !limits.length) return null;
  const middle = values[Math.floor(values.length / 2)];
  const most = Math.max(...limits);
  const top = most + 3 * Math.max(most - middle, 0);
  return most > middle && values.at(-1) > top ? top : null;
}

/** Room for the limit and the points. */
function bounds(plot) {
  const all = [...plot.data[1], ...plot.data[2]].filter((value) => value !== null && value !== undefined);
  if (!all.length) return [0, 1];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [low - room, high + room];
}

function drawSince(plot, rows, since, look) {
  const index = rows.findIndex((row) => row[0] >= since);
  if (index < 0) return;
  const x = plot.valToPos(index - 0.5, "x", true);
  const { ctx, bbox } = plot;
  ctx.strokeStyle = look.ink;
  ctx.setLineDash([]);
  ctx.lineWidth = 2 * window.devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.fillStyle = look.ink;
  ctx.font = `${12 * window.devicePixelRatio}px sans-serif`;
  const right = x > bbox.left + bbox.width * 0.7;
  ctx.textAlign = right ? "right" : "left";
  ctx.fillText(W.since(since), x + (right ? -6 : 6) * window.devicePixelRatio, bbox.top + bbox.height - 6 * window.devicePixelRatio);
}

/** Changes whenever the page becomes dark or light. */
function useScheme() {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const next = () => setTurn((old) => old + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    const watch = new MutationObserver(next);
    watch.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    media.addEventListener("change", next);
    return () => (watch.disconnect(), media.removeEventListener("change", next));
  }, []);
  return turn;
}
