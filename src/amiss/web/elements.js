// What several pages are made of: verdicts as shapes and words, states of a page, dialogs, intervals.
import { Fragment, html, useEffect, useId, useRef, useState } from "./html.js";
import { bytes, count, interval, percent } from "./format.js";
import { common, labels, trade as T } from "./words.js";

const SHAPES = {
  good: ["M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20Z", "M7 12.5l3.5 3.5 6.5-7.5"],
  review: ["M12 1 23 12 12 23 1 12Z", "M9.4 9.6a2.7 2.7 0 1 1 3.9 2.4c-.9.5-1.3 1-1.3 2M12 16.6v.4"],
  anomalous: ["M3 3h18v18H3Z", "M8 8l8 8M16 8l-8 8"],
  error: ["M12 1.5 23.5 22H.5Z", "M12 9v6M12 18v.4"],
  unknown: ["M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Z", "M8 12h8"],
};
const TRUTHS = { defective: "anomalous", unclear: "review" };

/** A verdict or a person's word as a shape; the word stands beside it or in its name. */
export function Shape({ of }) {
  const kind = SHAPES[of] ? of : TRUTHS[of] ?? "unknown";
  const [body, mark] = SHAPES[kind];
  return html`<svg class="shape ${kind}" viewBox="0 0 24 24" aria-hidden="true"><path class="body" d=${body} /><path class="mark" d=${mark} /></svg>`;
}

export const Badge = ({ of, words, large }) =>
  html`<span class="badge ${large ? "large" : ""} is-${TRUTHS[of] ?? of}"><${Shape} of=${of} /><span>${words ?? labels[of] ?? labels.unknown}</span></span>`;

export const Empty = ({ title, children }) => html`<div class="empty"><p class="empty-title">${title}</p><p>${children}</p></div>`;

export const Loading = () => html`<p class="loading" role="status">${common.loading}</p>`;

/** Why something is not there, and a way to try again. */
export function Failed({ error, retry }) {
  if (!error) return null;
  return html`<div class="failed" role="alert"><${Shape} of="error" />
    <div><p>${error.message}</p>${error.id && html`<p class="note">${common.faultId(error.id)}</p>`}</div>
    ${retry && html`<button onClick=${retry}>${common.again}</button>`}</div>`;
}

/** What `poll` has got, or why it has not. */
export function Known({ poll, children }) {
  if (!poll.data && poll.error) return html`<${Failed} error=${poll.error} retry=${poll.reload} />`;
  if (!poll.data) return html`<${Loading} />`;
  return html`<${Fragment}>${poll.error && html`<p class="stale" role="status">${common.stale(poll.error.message)}</p>`}${children(poll.data)}<//>`;
}

export function Field({ label, hint, children }) {
  const id = useId();
  const note = `${id}-hint`;
  children.props.id = id;
  if (hint) children.props["aria-describedby"] = note;
  return html`<div class="field"><label for=${id}>${label}</label>${children}${hint && html`<p class="note" id=${note}>${hint}</p>`}</div>`;
}

/** A question before something is done: a reason, and what will happen. `act` does it; the dialog stays if that fails. */
export function Ask({ title, text, action, danger, close, act, children, reason = true }) {
  const place = useRef();
  const [why, setWhy] = useState("");
  const [state, setState] = useState({ busy: false, error: null });
  const id = useId();
  useEffect(() => {
    const dialog = place.current;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  async function submit(event) {
    event.preventDefault();
    setState({ busy: true, error: null });
    try {
      await act(why.trim());
      close(true);
    } catch (error) {
      setState({ busy: false, error });
    }
  }
  return html`<dialog ref=${place} aria-labelledby=${id} onCancel=${(event) => (event.preventDefault(), close(false))}>
    <form onSubmit=${submit}>
      <h2 id=${id}>${title}</h2>
      ${text && html`<p>${text}</p>`}
      ${children}
      ${reason && html`<${Field} label=${common.reason} hint=${common.reasonHint}><input required maxlength="500" autocomplete="off" value=${why} onInput=${(event) => setWhy(event.target.value)} /><//>`}
      <${Failed} error=${state.error} />
      <div class="row end">
        <button type="button" onClick=${() => close(false)}>${common.cancel}</button>
        <button class=${danger ? "danger" : "primary"} disabled=${state.busy}>${state.busy ? common.working : action}</button>
      </div>
    </form>
  </dialog>`;
}

/** A share with its interval, as a bar from 0 to `most`. */
export function Bar({ share, low, high, most }) {
  if (share === null || share === undefined) return null;
  const at = (value) => Math.min(100, (100 * value) / (most || 1));
  return html`<svg class="bar" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">
    <rect class="bar-back" width="100" height="12" /><rect class="bar-span" x=${at(low)} width=${Math.max(0.8, at(high) - at(low))} y="3" height="6" />
    <rect class="bar-at" x=${Math.max(0, at(share) - 0.7)} width="1.4" height="12" /></svg>`;
}

/** The small image of a part, its regions as boxes where asked for; says so when it is not kept. */
export function Thumb({ part, href, regions = false }) {
  const [gone, setGone] = useState(false);
  useEffect(() => setGone(false), [part.id]);
  const inside = part.image && !gone
    ? html`<img src="api/v1/parts/${part.id}/thumb" alt=${common.imageOf(part.serial ?? part.name)} loading="lazy" onError=${() => setGone(true)} />
      ${regions && part.width ? html`<svg viewBox="0 0 ${part.width} ${part.height}" aria-hidden="true">${part.regions.map((one) => html`<rect class="region" x=${one.box[0]} y=${one.box[1]} width=${one.box[2]} height=${one.box[3]} />`)}</svg>` : null}`
    : html`<span class="gone">${common.notKept}</span>`;
  return href ? html`<a class="thumb" href=${href}>${inside}</a>` : html`<span class="thumb">${inside}</span>`;
}

/** What other alphas would mean, as a table. */
export const Trade = ({ rows }) =>
  html`<div class="wide" tabindex="0" role="region" aria-label=${T.title}><table class="trade"><caption>${T.title}</caption>
    <thead><tr><th scope="col">${T.alpha}</th><th scope="col" class="n">${T.threshold}</th><th scope="col" class="n">${T.bound}</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr class=${row.in_use ? "current" : ""}><th scope="row">${percent(row.alpha)}${row.in_use ? html` <span class="tag">${T.chosen}</span>` : null}</th>
      <td class="n">${row.threshold === null ? T.impossible : Number(row.threshold.toPrecision(5))}</td><td class="n">${row.bound === null ? common.none : percent(row.bound, Math.ceil)}</td></tr>`)}</tbody></table></div>`;

export const nameOf = (part) => part.serial ?? part.name ?? common.event(part.seq);
export { bytes, count, interval };
