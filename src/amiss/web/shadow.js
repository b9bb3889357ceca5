// A version in the shadow of the one that judges, what people's labels are for, and what another version would have done.
import { html, useContext } from "./html.js";
import { Live, get, post, usePoll } from "./api.js";
import { Ask, Failed, Known, Shape } from "./elements.js";
import { count, interval, pValue } from "./format.js";
import { shadow as W } from "./words.js";

const of = (recipe, what) => `recipes/${encodeURIComponent(recipe)}/${what}`;

/** What the version in the shadow says beside the one that judges. */
export function Shadow({ one, ask }) {
  const poll = usePoll(() => get(of(one.recipe, "shadow")), 5000, [one.recipe, one.shadow, one.current]);
  const { may } = useContext(Live);
  const to = one.versions.find((each) => each.version === one.shadow);
  const from = one.versions.find((each) => each.version === one.current);
  return html`<section class="shadow" aria-label=${W.title(one.shadow)}><div class="row between"><h3>${W.title(one.shadow)}</h3>
      ${may("change") && html`<div class="row"><button class="small" onClick=${() => ask({ kind: "shadow", recipe: one.recipe, version: null, was: one.shadow })}>${W.end}</button>
        <button class="small primary" onClick=${() => ask({ kind: "promote", recipe: one.recipe, current: one.current, to, from })}>${W.promote(one.shadow)}</button></div>`}</div>
    <${Known} poll=${poll}>${(found) => (found.shadow ? html`<${Compared} found=${found.shadow} />` : html`<p class="note">${W.none}</p>`)}<//></section>`;
}

function Compared({ found }) {
  const { may } = useContext(Live);
  const row = (truth) => html`<tr><th scope="row">${W.truths[truth]}</th><td class="n">${count(found[truth].acting_right)}</td><td class="n">${count(found[truth].shadow_right)}</td>
    <td class="n nowrap">${pValue(found[truth].p_value)}</td><td>${found[truth].lots === null ? W.parts : W.lots(found[truth].lots)}</td></tr>`;
  return html`<dl class="facts"><div><dt>${W.compared}</dt><dd>${count(found.compared)}</dd></div>
      <div><dt>${W.differ}</dt><dd>${W.of(count(found.differ.count), count(found.compared))}<small class="note">${interval(found.differ.low, found.differ.high)}</small></dd></div>
      <div><dt>${W.right(found.version)}</dt><dd>${found.labelled ? html`${W.of(count(found.shadow_right.count), count(found.labelled))}<small class="note">${interval(found.shadow_right.low, found.shadow_right.high)}</small>` : W.unknown}</dd></div>
      <div><dt>${W.unlabelled}</dt><dd>${count(found.unlabelled)}${found.unlabelled && may("label") ? html`<small><a href="#/review?kind=disagreement">${W.label}</a></small>` : null}</dd></div>
      <div><dt>${W.leftOut}</dt><dd>${count(found.left_out)}</dd></div></dl>
    ${found.labelled ? html`<div class="wide" tabindex="0" role="region" aria-label=${W.table}><table class="mcnemar"><caption>${W.table}</caption><thead><tr><th scope="col">${W.truth}</th><th scope="col" class="n">${W.actingRight(found.acting)}</th><th scope="col" class="n">${W.shadowRight(found.version)}</th><th scope="col" class="n">${W.p}</th><th scope="col">${W.unit}</th></tr></thead>
      <tbody>${row("good")}${row("defective")}</tbody></table></div>` : null}
    <p class="note">${found.words}</p>`;
}

/** Ask for a reason and put a version in the shadow, or take it out. */
export const PutInShadow = ({ asked, close }) =>
  html`<${Ask} title=${asked.version === null ? W.endTitle(asked.was) : W.beginTitle(asked.version)} text=${asked.version === null ? W.endText : W.beginText} action=${asked.version === null ? W.end : W.begin}
    close=${close} act=${(reason) => post(of(asked.recipe, "shadow"), { version: asked.version, reason })} />`;

/** How many labels there are for what, and whether they are enough. */
export function Pools({ recipe }) {
  const poll = usePoll(() => get(of(recipe, "pools")), 15000, [recipe]);
  const found = poll.data;
  if (!found) return poll.error ? html`<${Failed} error=${poll.error} retry=${poll.reload} />` : null;
  const pool = (name) => W.labelled(count(found[name].good), count(found[name].defective));
  return html`<dl class="facts pools" aria-label=${W.pools}><div><dt>${W.calibrate}</dt><dd>${pool("calibrate")}<small class="note">${found.missing === null ? "" : found.missing ? W.missing(count(found.missing), count(found.needed)) : W.enough(count(found.needed))}</small></dd></div>
    <div><dt>${W.certify}</dt><dd>${pool("certify")}</dd></div><div><dt>${W.corrections}</dt><dd>${W.labelled(count(found.learn), count(found.defects))}</dd></div></dl>`;
}

/** What two versions do with the parts that are kept to certify. */
export function Trial({ found, before, after }) {
  const cell = (rate) => html`<td class="n">${rate.of ? W.of(count(rate.count), count(rate.of)) : W.unknown}<small class="note nowrap">${interval(rate.low, rate.high)}</small></td>`;
  const row = (name, key) => html`<tr><th scope="row">${name}</th>${cell(found.before[key])}${cell(found.after[key])}</tr>`;
  if (!found.before.false_alarms.of && !found.before.escapes.of) return html`<p class="note trial">${W.noTrial}${found.left_out ? W.trialLeftOut(count(found.left_out), found.left_out) : ""}</p>`;
  return html`<div class="wide" tabindex="0" role="region" aria-label=${W.trial}><table class="trial"><caption>${W.trial}</caption><thead><tr><td></td><th scope="col" class="n">${before}</th><th scope="col" class="n">${after}</th></tr></thead>
    <tbody>${row(W.falseAlarms, "false_alarms")}${row(W.escapes, "escapes")}${row(W.reviews, "reviews")}</tbody></table></div>
    <p class="note">${found.words}${found.left_out ? W.trialLeftOut(count(found.left_out), found.left_out) : ""}</p>`;
}

/** The same for a version that nobody has tried yet: asked for once. */
export function TrialOf({ recipe, version, before, after }) {
  const poll = usePoll(() => get(of(recipe, `versions/${version}/trial`), { patience: 0 }), 0, [recipe, version]);
  if (poll.error) return html`<p class="note"><${Shape} of="error" /> ${poll.error.message}</p>`;
  return poll.data ? html`<${Trial} found=${poll.data} before=${before} after=${after} />` : html`<p class="note" role="status">${W.trying}</p>`;
}
