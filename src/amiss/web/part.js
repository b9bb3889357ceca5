// One part: picture and overlay, verdict, what people said, and the same judged again.
import { html, useContext, useState } from "./html.js";
import { Live, get, post, useAction, usePoll } from "./api.js";
import { Badge, Failed, Known, Shape, nameOf } from "./elements.js";
import { pValue, score, time } from "./format.js";
import { Viewer, ZoomButtons, useView } from "./viewer.js";
import { common, labels, part as W } from "./words.js";

export function PartPage({ route }) {
  const id = route.rest[0] ?? "";
  const poll = usePoll(() => get(`parts/${encodeURIComponent(id)}`), 0, [id]);
  return html`<${Known} poll=${poll}>${(part) => html`<${Shown} part=${part} reload=${poll.reload} />`}<//>`;
}

function Shown({ part, reload }) {
  const { may } = useContext(Live);
  const [overlay, setOverlay] = useState(false);
  const [view, setView] = useView(part.id);
  const said = part.labels ?? [];
  return html`<div class="part">
    <div class="head"><div><p class="crumb"><a href="#/line">${W.back}</a></p><h1>${nameOf(part)}</h1></div>
      ${part.label ? html`<${Badge} of=${part.label} large />` : html`<p class="note">${W.blind}</p>`}</div>
    <div class="split">
      <div><div class="row between"><${ZoomButtons} view=${view} setView=${setView} />
          ${part.label && part.label !== "error" ? html`<button aria-pressed=${overlay} onClick=${() => setOverlay(!overlay)}>${W.overlay}</button>` : null}</div>
        <${Viewer} src=${part.image ? `api/v1/parts/${part.id}/${overlay ? "overlay" : "image"}` : null} alt=${common.imageOf(nameOf(part))} view=${view} setView=${setView}
          size=${[part.height ?? 1, part.width ?? 1]} regions=${overlay ? [] : part.regions ?? []} boxes=${said.at(-1)?.boxes ?? []} /></div>
      <div><${Facts} part=${part} />
        ${part.reason && html`<p class="alarm"><${Shape} of="error" /><span>${part.reason}</span></p>`}
        <h2>${W.said}</h2>
        ${said.length ? html`<ul class="said">${said.map((one) => html`<li><${Badge} of=${one.truth} words=${W.truths[one.truth]} /><span>${W.by(one.by, time(one.at))}${one.type ? W.type(one.type) : ""}${one.blind ? W.blindly : ""}</span>${one.comment && html`<q>${one.comment}</q>`}</li>`)}</ul>` : html`<p class="note">${W.unsaid}</p>`}
        ${may("replay") && part.label ? html`<${Replay} part=${part} />` : null}</div>
    </div></div>`;
}

function Facts({ part }) {
  const rows = [
    [W.verdict, part.label && (part.late ? W.late(labels[part.label]) : labels[part.label])],
    [W.score, part.score !== null && part.score !== undefined && W.against(score(part.score), score(part.threshold))],
    [W.p, part.p_value !== null && part.p_value !== undefined && pValue(part.p_value)],
    [W.regions, part.regions?.length ? part.regions.map((one) => W.region(...one.box)).join("; ") : null],
    [W.lot, part.lot], [W.camera, part.camera], [W.recipe, W.version(part.recipe, part.version)], [W.fingerprint, part.fingerprint],
    [W.at, time(part.at)], [W.taken, part.taken_at && time(part.taken_at)], [W.file, part.name], [W.size, part.width && W.pixels(part.width, part.height)],
    [W.event, part.seq], [W.audit, part.audit ? W.drawn : null], [W.hash, part.sha256], [W.runtime, typeof part.runtime === "string" ? part.runtime : null],
  ].filter(([, value]) => value);
  return html`<dl class="facts column">${rows.map(([name, value]) => html`<div><dt>${name}</dt><dd>${name === W.hash || name === W.fingerprint ? html`<code>${value}</code>` : value}</dd></div>`)}</dl>`;
}

export function Replay({ part }) {
  const action = useAction(() => post(`parts/${part.id}/replay`));
  const [found, setFound] = useState(null);
  const shape = { "equal bits": "good", "within tolerance": "good", different: "anomalous" };
  return html`<h2>${W.replay}</h2><p class="note">${W.replayNote}</p>
    <button disabled=${action.busy} onClick=${async () => setFound((await action.run()) ?? null)}>${action.busy ? common.working : W.again}</button>
    <${Failed} error=${action.error} />
    ${found && html`<div class="outcome" role="status"><${Badge} of=${shape[found.outcome] ?? "review"} words=${W.outcomes[found.outcome] ?? found.outcome} />
      ${found.label_now && html`<p>${W.thenNow(labels[found.label] ?? found.label, found.score, labels[found.label_now] ?? found.label_now, found.score_now)}</p>`}${found.why && html`<p>${found.why}</p>`}</div>`}`;
}
