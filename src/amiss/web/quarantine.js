// Setting parts aside: since a part, or whole lots; and what was set aside before.
import { html, useState } from "./html.js";
import { get, post, usePoll } from "./api.js";
import { Ask, Field, Known } from "./elements.js";
import { count, time } from "./format.js";
import { quarantine as W } from "./words.js";

/** Ask for a reason and set aside; `about` is {lots, parts} or {first, last, text}. */
export function Quarantine({ recipe, about, close }) {
  const [first, setFirst] = useState(about.first ?? "");
  const [last, setLast] = useState(about.last ?? "");
  const whole = (text) => (text === "" ? null : Number(text));
  const act = (reason) => post("quarantines", about.lots ? { recipe, lots: about.lots, reason } : { recipe, first: whole(first), last: whole(last), reason });
  return html`<${Ask} title=${about.lots ? W.titleLots(about.lots) : W.title} text=${about.lots ? W.textLots(about.parts) : W.text} action=${W.action} danger close=${close} act=${act}>
    ${!about.lots && html`<div class="row"><${Field} label=${W.first}><input type="number" min="1" required value=${first} onInput=${(event) => setFirst(event.target.value)} /><//>
      <${Field} label=${W.last} hint=${W.lastHint}><input type="number" min="1" value=${last} onInput=${(event) => setLast(event.target.value)} /><//></div>`}<//>`;
}

export function Quarantines({ again }) {
  const poll = usePoll(() => get("quarantines"), 15000, [again]);
  return html`<section aria-labelledby="aside"><h2 id="aside">${W.list}</h2><${Known} poll=${poll}>${(found) => found.quarantines.length ? html`<div class="wide" tabindex="0" role="region" aria-labelledby="aside"><table>
    <thead><tr><th scope="col">${W.event}</th><th scope="col">${W.at}</th><th scope="col">${W.recipe}</th><th scope="col">${W.what}</th><th scope="col" class="n">${W.parts}</th><th scope="col">${W.reason}</th><th scope="col">${W.by}</th></tr></thead>
    <tbody>${found.quarantines.map((one) => html`<tr><td>${one.seq}</td><td class="nowrap">${time(one.at)}</td><td>${one.recipe}</td><td>${one.lots?.length ? W.ofLots(one.lots) : W.range(one.first, one.last)}</td><td class="n">${count(one.parts)}</td><td>${one.reason}</td><td>${one.by}</td></tr>`)}</tbody></table></div>` : html`<p class="note">${W.none}</p>`}<//></section>`;
}
