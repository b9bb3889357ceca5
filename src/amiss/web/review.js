// REVIEW: one part at a time, single keys; a label is saved before the next part shows. Audit parts are shown blind.
import { html, useContext, useEffect, useRef, useState } from "./html.js";
import { Live, get, post, query } from "./api.js";
import { Empty, Failed, Loading, Shape, nameOf } from "./elements.js";
import { pValue, score, time } from "./format.js";
import { useKeys } from "./keys.js";
import { Viewer, ZoomButtons, useView, zoomed, START } from "./viewer.js";
import { common, labels, review as W } from "./words.js";

const KINDS = ["review", "audit", "disagreement"];
const AHEAD = 20;
const RENEW = 120000;
const MANY_UNDONE = 50;

/** The queue: the part to be judged, how many are left, and what may be done. */
function useQueue(kind) {
  const { paused } = useContext(Live);
  const [state, setState] = useState({ part: null, left: null, error: null, busy: true, empty: false });
  const ahead = useRef([]);
  const done = useRef([]);
  const turn = useRef(0);
  const change = (more) => setState((old) => ({ ...old, ...more }));

  /** Take the first part that nobody else has. */
  async function next(mine = turn.current) {
    change({ busy: true, error: null });
    try {
      for (;;) {
        if (!ahead.current.length) {
          const found = await get("queue" + query({ kind, limit: AHEAD }));
          if (mine !== turn.current) return;
          ahead.current = found.parts;
          change({ left: found.left });
        }
        const part = ahead.current.shift();
        if (!part) return change({ part: null, busy: false, empty: true });
        if (await claimed(part)) {
          if (mine === turn.current) change({ part, busy: false, empty: false });
          if (ahead.current[0]?.image) new Image().src = `api/v1/parts/${ahead.current[0].id}/image`;
          return;
        }
        if (mine !== turn.current) return;
      }
    } catch (error) {
      if (mine === turn.current) change({ error, busy: false });
    }
  }

  async function say(truth, more) {
    if (!state.part || state.busy) return;
    change({ busy: true, error: null });
    try {
      if (kind !== "review" && !(await claimed(state.part))) return await next(); // blind only while the part is in hand
      await post(`parts/${state.part.id}/labels`, { truth, type: null, boxes: [], comment: "", ...more });
      done.current = [...done.current, { part: state.part, truth }].slice(-MANY_UNDONE);
      setState((old) => ({ ...old, left: Math.max(0, (old.left ?? 1) - 1), last: { part: state.part, truth } }));
      await next();
    } catch (error) {
      change({ error, busy: false });
    }
  }

  async function undo() {
    const last = done.current.at(-1);
    if (!last || state.busy) return;
    change({ busy: true, error: null });
    try {
      await post(`parts/${last.part.id}/labels`, { truth: "withdrawn", type: null, boxes: [], comment: "" });
      done.current.pop();
      if (state.part) ahead.current.unshift(state.part);
      await claimed(last.part);
      const before = done.current.at(-1) ?? null;
      setState((old) => ({ ...old, part: last.part, left: (old.left ?? 0) + 1, busy: false, empty: false, last: before, undone: last }));
    } catch (error) {
      change({ error, busy: false });
    }
  }

  useEffect(() => {
    turn.current++;
    ahead.current = [];
    done.current = [];
    setState({ part: null, left: null, error: null, busy: true, empty: false, last: null });
    next(turn.current);
    return () => turn.current++;
  }, [kind]);
  useEffect(() => {
    if (!state.part) return undefined;
    const timer = setInterval(() => claimed(state.part).catch(() => {}), RENEW);
    return () => clearInterval(timer);
  }, [state.part]);
  useEffect(() => {
    if (!state.empty || paused) return undefined;
    const timer = setInterval(() => next(), 4000);
    return () => clearInterval(timer);
  }, [state.empty, paused]);
  return { ...state, say, undo, retry: () => next(), undoable: done.current.length > 0 };
}

async function claimed(part) {
  try {
    await post(`queue/${part.id}/claim`);
    return true;
  } catch (error) {
    if (error.status === 409) return false;
    throw error;
  }
}

export function Review({ route, status }) {
  const asked = route.options.get("kind");
  const kind = KINDS.includes(asked) ? asked : "review";
  const queue = useQueue(kind);
  const about = status.data;
  return html`<div class="review">
    <div class="head"><h1>${W.title}</h1>
      <nav class="tabs" aria-label=${W.kinds}>${KINDS.filter((one) => one !== "disagreement" || one === kind || about?.[one]).map((one) => html`<a href="#/review?kind=${one}" aria-current=${one === kind ? "true" : undefined}>${W.tabs[one]} <span class="count">${one === kind ? (queue.left ?? common.unknown) : (about?.[one] ?? common.unknown)}</span></a>`)}</nav></div>
    <p class="note">${W.lead[kind]}</p>
    ${queue.error && html`<${Failed} error=${queue.error} retry=${queue.part ? null : queue.retry} />`}
    ${queue.part ? html`<${One} queue=${queue} part=${queue.part} kind=${kind} key=${queue.part.id} />`
      : queue.empty ? html`<${Empty} title=${W.none[kind]}>${W.noneWhy[kind]}<//><div class="row"><button disabled=${!queue.undoable || queue.busy} onClick=${queue.undo}><kbd>Z</kbd>${W.undo}</button></div>`
      : queue.error ? null : html`<${Loading} />`}
    <p class="sr" role="status">${queue.last ? W.saved(W.truths[queue.last.truth], nameOf(queue.last.part)) : ""}</p>
  </div>`;
}

/** A good part of the same kind, to compare with. */
function useTwin(part) {
  const [twin, setTwin] = useState(undefined);
  useEffect(() => {
    let over = false;
    get(`parts/${part.id}/twin`).then((found) => !over && setTwin(found.id)).catch(() => !over && setTwin(null));
    return () => (over = true);
  }, [part.id]);
  return twin;
}

function One({ queue, part, kind }) {
  const [view, setView] = useView(part.id);
  const [type, setType] = useState("");
  const [boxes, setBoxes] = useState([]);
  const [drawing, setDrawing] = useState(false);
  const [regions, setRegions] = useState(true);
  const twin = useTwin(part);
  const say = (truth) => queue.say(truth, truth === "defective" ? { type: type.trim() || null, boxes } : {});
  useKeys({ g: () => say("good"), d: () => say("defective"), u: () => say("unclear"), z: queue.undo, b: () => setDrawing(!drawing), o: () => setRegions(!regions),
    "+": () => setView(zoomed(view, 1.5)), "=": () => setView(zoomed(view, 1.5)), "-": () => setView(zoomed(view, 1 / 1.5)), 0: () => setView(START) });
  const size = [part.height ?? 1, part.width ?? 1];
  return html`<div class="one" aria-busy=${queue.busy}>
    <${Answers} queue=${queue} say=${say} />
    <div class="row between tools-row"><${ZoomButtons} view=${view} setView=${setView} />
      <div class="row">${kind === "review" && part.regions?.length ? html`<button aria-pressed=${regions} onClick=${() => setRegions(!regions)}><kbd>O</kbd>${W.regions}</button>` : null}
        <button aria-pressed=${drawing} onClick=${() => setDrawing(!drawing)}><kbd>B</kbd>${W.draw}</button>
        ${boxes.length ? html`<button onClick=${() => setBoxes(boxes.slice(0, -1))}>${W.lessBoxes(boxes.length)}</button>` : null}</div></div>
    <div class="pair">
      <${Viewer} src=${part.image ? `api/v1/parts/${part.id}/image` : null} alt=${common.imageOf(nameOf(part))} ...${{ view, setView, size, boxes }} regions=${regions ? part.regions ?? [] : []}
        draw=${drawing ? (box) => setBoxes([...boxes, box]) : null} caption=${html`<strong>${nameOf(part)}</strong>${part.lot ? W.lot(part.lot) : ""} <span class="note">${time(part.at)}</span>`} />
      ${twin ? html`<${Viewer} src="api/v1/parts/${twin}/image" alt=${W.twin} view=${view} setView=${setView} size=${size} caption=${html`<strong>${W.twin}</strong> <a class="note" href="#/part/${twin}">${W.twinLook}</a>`} />`
        : html`<p class="gone">${twin === null ? W.noTwin : common.loading}</p>`}
    </div>
    <div class="row below">
      <label class="inline">${W.type}<input list="types" maxlength="60" autocomplete="off" value=${type} onInput=${(event) => setType(event.target.value)} /></label><${Types} recipe=${part.recipe} />
      ${kind === "review" ? html`<p class="note">${W.verdict(labels[part.label] ?? part.label, score(part.score), score(part.threshold), pValue(part.p_value))}</p>` : html`<p class="note">${W.blind}</p>`}
    </div>
  </div>`;
}

function Types({ recipe }) {
  const [types, setTypes] = useState([]);
  useEffect(() => {
    get(`recipes/${encodeURIComponent(recipe)}/pareto`).then((found) => setTypes(found.types.map((one) => one.type).filter(Boolean)), () => {});
  }, [recipe]);
  return html`<datalist id="types">${types.map((one) => html`<option value=${one} />`)}</datalist>`;
}

const Answers = ({ queue, say }) =>
  html`<div class="answers" role="group" aria-label=${W.answers}>
    <button class="say good" disabled=${queue.busy} onClick=${() => say("good")}><${Shape} of="good" /><span>${W.truths.good}</span><kbd>G</kbd></button>
    <button class="say bad" disabled=${queue.busy} onClick=${() => say("defective")}><${Shape} of="anomalous" /><span>${W.truths.defective}</span><kbd>D</kbd></button>
    <button class="say unsure" disabled=${queue.busy} onClick=${() => say("unclear")}><${Shape} of="review" /><span>${W.truths.unclear}</span><kbd>U</kbd></button>
    <button class="say undo" disabled=${queue.busy || !queue.undoable} onClick=${queue.undo}><span>${W.undo}</span><kbd>Z</kbd></button>
    <p class="last note">${queue.last ? W.saved(W.truths[queue.last.truth], nameOf(queue.last.part)) : W.keys}</p>
  </div>`;
