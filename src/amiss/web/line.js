// LINE: the newest part as large as can be, today's counts, the last parts, and how the station is.
import { html, useContext, useEffect, useRef, useState } from "./html.js";
import { Live, get, query } from "./api.js";
import { Points } from "./chart.js";
import { Badge, Empty, Failed, Loading, Shape, Thumb, nameOf } from "./elements.js";
import { bytes, count, pValue, percent, score, time } from "./format.js";
import { useKeys } from "./keys.js";
import { common, labels, line as W } from "./words.js";

const KEPT = 120;
const LAST = 12;

/** The newest parts, newest first; asks only for what came since. */
function useParts(recipe) {
  const { paused } = useContext(Live);
  const [state, setState] = useState({ parts: null, error: null });
  const held = useRef([]);
  useEffect(() => {
    if (paused) return undefined;
    let timer = 0;
    let over = false;
    held.current = [];
    async function once() {
      try {
        const newest = held.current[0];
        const { parts } = await get("parts" + query(newest ? { recipe, after: newest.seq, limit: 200 } : { recipe, limit: KEPT }));
        const more = newest ? parts.reverse() : parts;
        if (over) return;
        if (more.length || !newest) held.current = [...more, ...held.current].slice(0, KEPT);
        setState({ parts: held.current, error: null });
      } catch (error) {
        if (!over) setState((old) => ({ ...old, error }));
      }
      if (!over) timer = setTimeout(once, 2000);
    }
    once();
    return () => {
      over = true;
      clearTimeout(timer);
    };
  }, [recipe, paused]);
  return state;
}

export function Line({ status, wall }) {
  const [recipe, setRecipe] = useState("");
  const { parts, error } = useParts(recipe);
  const [overlay, setOverlay] = useState(true);
  useKeys({ o: () => setOverlay((old) => !old), w: () => (location.hash = wall ? "#/line" : "#/line?wall") });
  const about = status.data;
  const recipes = about?.recipes ?? [];
  return html`<div class="line">
    <div class="head"><h1>${W.title}</h1>
      <div class="row">${recipes.length > 1 && html`<label class="inline">${W.recipe}<select value=${recipe} onChange=${(event) => setRecipe(event.target.value)}><option value="">${W.all}</option>${recipes.map((one) => html`<option>${one.recipe}</option>`)}</select></label>`}
        <button aria-pressed=${overlay} onClick=${() => setOverlay(!overlay)}><kbd>O</kbd>${W.overlay}</button>
        <a class="button" href=${wall ? "#/line" : "#/line?wall"}><kbd>W</kbd>${wall ? W.leaveWall : W.wall}</a></div></div>
    ${error && !parts ? html`<${Failed} error=${error} />` : !parts ? html`<${Loading} />` : !parts.length ? html`<${None} recipes=${recipes} />` : html`<${Newest} parts=${parts} overlay=${overlay} />`}
    ${about && html`<${Today} about=${about} />`}
    ${parts?.length ? html`<${Last} parts=${parts.slice(1, LAST + 1)} /><${Values} parts=${parts} recipes=${recipes} />` : null}
    ${about && html`<${Station} about=${about} />`}
  </div>`;
}

const None = ({ recipes }) => html`<${Empty} title=${W.noParts}>${recipes.length ? W.noPartsYet : W.noRecipe}<//>`;

/** A part that was drawn for an audit, shown to people who are to label it: no verdict. */
const Secret = ({ part }) => html`<section class="newest is-unknown" aria-label=${W.newest}>
    <div class="verdict">
      <p class="big"><${Shape} of="unknown" /><span>${W.audit}</span></p>
      <p class="what">${W.auditWhy} <a href="#/review?kind=audit">${W.auditGo}</a></p>
      <dl class="facts">
        <div><dt>${W.part}</dt><dd><a href="#/part/${part.id}">${nameOf(part)}</a></dd></div>
        ${part.lot && html`<div><dt>${W.lot}</dt><dd>${part.lot}</dd></div>`}
        <div><dt>${W.recipe}</dt><dd>${part.recipe}</dd></div>
        <div><dt>${W.at}</dt><dd>${time(part.at)}</dd></div>
      </dl>
    </div>
    <${Layers} key=${part.id} part=${part} marked=${false} />
  </section>`;

function Newest({ parts, overlay }) {
  const part = parts[0];
  if (part.blind) return html`<${Secret} part=${part} />`;
  const accepted = part.accept ?? (part.label === "good" && !part.late);
  const marked = overlay && ["anomalous", "review"].includes(part.label);
  return html`<section class="newest is-${part.label}" aria-label=${W.newest}>
    <div class="verdict">
      <p class="big"><${Shape} of=${accepted ? "good" : part.label === "good" ? "error" : part.label} /><span>${accepted ? W.accept : W.reject}</span></p>
      <p class="what">${part.late ? W.late : labels[part.label]}${part.reason ? W.because(part.reason) : ""}</p>
      <dl class="facts">
        <div><dt>${W.part}</dt><dd><a href="#/part/${part.id}">${nameOf(part)}</a></dd></div>
        ${part.lot && html`<div><dt>${W.lot}</dt><dd>${part.lot}</dd></div>`}
        <div><dt>${W.recipe}</dt><dd>${part.recipe}</dd></div>
        ${part.p_value !== null && html`<div><dt>${W.p}</dt><dd>${pValue(part.p_value)}</dd></div>`}
        ${part.score !== null && html`<div><dt>${W.score}</dt><dd>${score(part.score)}<small>${W.against(score(part.threshold))}</small></dd></div>`}
        <div><dt>${W.at}</dt><dd>${time(part.at)}</dd></div>
      </dl>
    </div>
    <${Layers} part=${part} marked=${marked} key=${part.id} />
  </section>`;
}

/** The picture at once, and the overlay on it as soon as it has been scored again. */
function Layers({ part, marked }) {
  const [gone, setGone] = useState(!part.image);
  const [over, setOver] = useState(true);
  const src = (kind) => `api/v1/parts/${part.id}/${kind}`;
  return html`<a class="thumb layers" href="#/part/${part.id}">${gone ? html`<span class="gone">${common.notKept}</span>` : html`<img src=${src("image")} alt=${common.imageOf(nameOf(part))} onError=${() => setGone(true)} />`}
    ${marked && over && !gone ? html`<img src=${src("overlay")} alt="" onError=${() => setOver(false)} />` : null}</a>`;
}

function Today({ about }) {
  const { may } = useContext(Live);
  const today = about.today;
  const all = today.good + today.review + today.anomalous + today.error;
  return html`<section class="today" aria-labelledby="today"><h2 id="today">${W.today}<span class="note">${W.parts(count(all), all)}${about.audit && may("label") ? W.inAudit(count(about.audit)) : ""}</span></h2>
    <ul class="tally">${["good", "review", "anomalous", "error"].map((label) => html`<li class="is-${label}"><${Shape} of=${label} /><b>${count(today[label])}</b><span>${labels[label]}${all ? html`<small>${percent(today[label] / all)}</small>` : null}</span></li>`)}</ul></section>`;
}

const Last = ({ parts }) =>
  html`<section aria-labelledby="last"><h2 id="last">${W.last}</h2>${parts.length ? html`<ul class="strip">${parts.map((part) => html`<li key=${part.id}><${Thumb} part=${part} href="#/part/${part.id}" /><${Badge} of=${part.label} words=${part.blind ? W.drawn : undefined} /><span class="name">${nameOf(part)}</span></li>`)}</ul>` : html`<p class="note">${W.noOthers}</p>`}</section>`;

function Values({ parts, recipes }) {
  const shown = [...parts].reverse().filter((part) => !part.blind && part.p_value !== null);
  const alphas = Object.fromEntries(recipes.map((one) => [one.recipe, one.alpha]));
  const key = shown.map((part) => part.seq).join() + recipes.map((one) => one.alpha).join();
  const rows = useHeld(shown.map((part) => [part.seq, part.p_value, alphas[part.recipe] ?? null, part.label, part]), key);
  if (!rows.length) return null;
  return html`<section aria-labelledby="values"><h2 id="values">${W.values}<span class="note">${W.valuesNote}</span></h2>
    <${Points} rows=${rows} log name=${W.valuesName(rows.length)} say=${([, p, alpha, label, part]) => W.point(nameOf(part), labels[label], pValue(p), percent(alpha))} open=${(row) => (location.hash = `#/part/${row[4].id}`)} /></section>`;
}

/** The same rows as long as their key is the same: a chart is not drawn again for nothing. */
function useHeld(rows, key) {
  const place = useRef({ key: null });
  if (place.current.key !== key) place.current = { key, rows };
  return place.current.rows;
}

function Station({ about }) {
  const counts = about.counts;
  return html`<section aria-labelledby="station"><h2 id="station">${W.station}</h2>
    <dl class="facts wide-facts">
      <div><dt>${W.queue}</dt><dd>${W.parts(about.queue, about.queue)}</dd></div>
      <div><dt>${W.deadline}</dt><dd>${about.deadline_ms ? W.ms(about.deadline_ms) : W.noDeadline}</dd></div>
      <div><dt>${W.lateOnes}</dt><dd>${count(counts.late)}</dd></div>
      <div><dt>${W.refused}</dt><dd>${count(counts.refused)}</dd></div>
      <div><dt>${W.disk}</dt><dd>${bytes(about.disk_free)}</dd></div>
      <div><dt>${W.chain}</dt><dd><code>${about.chain.seq} ${about.chain.hash.slice(0, 8)}</code></dd></div>
      <div><dt>${W.begun}</dt><dd>${time(about.since)}</dd></div>
    </dl>
    <ul class="judges">${about.recipes.map((one) => html`<li><p><strong>${one.recipe}</strong> <span class="note">${W.version(one.version, one.method)}</span></p>
      ${one.chart?.alarm ? html`<p class="alarm"><${Shape} of="anomalous" /><span>${one.chart.text} <a href="#/quality?recipe=${encodeURIComponent(one.recipe)}">${W.look}</a></span></p>` : null}
      <p class="note">${one.statement}</p></li>`)}</ul></section>`;
}
