// QUALITY: has the line changed, where and what are the defects, which lots, what is missed, and what they look like.
import { html, useContext, useMemo, useState } from "./html.js";
import { Live, get, query, usePoll } from "./api.js";
import { Points } from "./chart.js";
import { Badge, Bar, Empty, Known, Shape, Thumb, nameOf } from "./elements.js";
import { count, interval, pValue, percent, score, since, time } from "./format.js";
import { Quarantine, Quarantines } from "./quarantine.js";
import { labels, quality as W } from "./words.js";

const SPANS = [8, 24, 168, 720, 0];
const WALL = 24;

export function Quality({ route, status }) {
  const recipes = status.data?.recipes ?? [];
  const asked = route.options.get("recipe");
  const recipe = asked ?? recipes[0]?.recipe ?? null;
  const [hours, setHours] = useState(24);
  const [again, setAgain] = useState(0);
  const [quarantine, setQuarantine] = useState(null);
  const choose = (name) => (location.hash = `#/quality?recipe=${encodeURIComponent(name)}`);
  return html`<div class="quality">
    <div class="head"><h1>${W.title}</h1><div class="row">
      <label class="inline">${W.recipe}<select value=${recipe ?? ""} onChange=${(event) => choose(event.target.value)}>${recipes.map((one) => html`<option>${one.recipe}</option>`)}</select></label>
      <label class="inline">${W.span}<select value=${hours} onChange=${(event) => setHours(Number(event.target.value))}>${SPANS.map((one) => html`<option value=${one}>${W.spans[one]}</option>`)}</select></label></div></div>
    ${!status.data ? null : !recipe ? html`<${Empty} title=${W.noRecipe}>${W.noRecipeWhy}<//>` : html`
      <${Chart} key=${`chart ${recipe} ${hours}`} ...${{ recipe, hours, setQuarantine }} />
      <${Missed} key=${`missed ${recipe}`} recipe=${recipe} />
      <${Pareto} key=${`pareto ${recipe} ${hours}`} ...${{ recipe, hours }} />
      <${Lots} key=${`lots ${recipe} ${hours}`} ...${{ recipe, hours, setQuarantine }} />
      <${Photos} key=${`photos ${recipe} ${hours}`} ...${{ recipe, hours }} />
      <${Quarantines} again=${again} />`}
    ${quarantine && html`<${Quarantine} recipe=${recipe} about=${quarantine} close=${(done) => (setQuarantine(null), done && setAgain(again + 1))} />`}
  </div>`;
}

const of = (recipe, what, hours) => get(`recipes/${encodeURIComponent(recipe)}/${what}` + query({ since: hours === undefined ? "" : since(hours) }));

function Chart({ recipe, hours, setQuarantine }) {
  const poll = usePoll(() => of(recipe, "monitor", hours), 5000, [recipe, hours]);
  const { may } = useContext(Live);
  const data = poll.data;
  const key = data ? `${data.scores.length} ${data.scores.at(-1)?.[0]}` : "";
  const rows = useMemo(() => (data ? data.scores : []), [key]);
  return html`<section aria-labelledby="chart"><h2 id="chart">${W.scores}</h2><${Known} poll=${poll}>${(found) => html`
    <p class="verdict-line ${found.alarm ? "is-anomalous" : found.at ? "is-good" : "is-unknown"}"><${Shape} of=${found.alarm ? "anomalous" : found.at ? "good" : "unknown"} /><span>${found.text || (found.at ? W.calm : W.noChart)}${found.at ? html` <small class="note">${W.asOf(time(found.at))}</small>` : null}</span>
      ${found.alarm && found.first !== null && may("change") ? html`<button class="danger" onClick=${() => setQuarantine({ first: found.first, last: found.last, text: found.text })}>${W.aside(found.first)}</button>` : null}</p>
    ${rows.length ? html`<${Points} rows=${rows} since=${found.alarm ? found.first : null} name=${W.chartName(rows.length, recipe)} say=${([seq, value, limit, label]) => W.point(seq, labels[label] ?? label, score(value), score(limit))} />` : html`<${Empty} title=${W.noParts}>${W.noPartsWhy}<//>`}`}<//></section>`;
}

function Missed({ recipe }) {
  const poll = usePoll(() => of(recipe, "estimates"), 15000, [recipe]);
  const box = (name, note, rate) => html`<div class="estimate"><h3>${name}</h3>
    ${rate.of ? html`<p class="figure">${interval(rate.low, rate.high)}</p><p>${W.counted(rate.count, rate.of)}</p>` : html`<p class="figure none">${W.noEstimate}</p>`}<p class="note">${note}</p></div>`;
  return html`<section aria-labelledby="missed"><h2 id="missed">${W.missed}</h2><${Known} poll=${poll}>${(found) => html`
    <div class="estimates">${box(W.escapes, W.escapesNote(found.escapes.of, found.confidence), found.escapes)}${box(W.falseAlarms, W.falseAlarmsNote(found.false_alarms.of, found.confidence), found.false_alarms)}</div>
    <p class="note">${found.words ?? W.audited(found.audited)}${found.audited ? "" : W.auditedNone}${found.not_blind ? W.notBlind(count(found.not_blind), found.not_blind) : ""}</p>`}<//></section>`;
}

function Pareto({ recipe, hours }) {
  const poll = usePoll(() => of(recipe, "pareto", hours), 10000, [recipe, hours]);
  return html`<section aria-labelledby="pareto"><h2 id="pareto">${W.pareto}</h2><${Known} poll=${poll}>${(found) => html`<div class="split even">
    <div><h3>${W.where}</h3>${found.regions ? html`<${Places} found=${found} />` : html`<p class="note">${W.noRegions}</p>`}</div>
    <div><h3>${W.types}</h3>${found.types.length ? html`<${Types} types=${found.types} />` : html`<p class="note">${W.noTypes}</p>`}</div></div>`}<//></section>`;
}

function Places({ found }) {
  const grid = found.grid ?? 3;
  const most = Math.max(...found.places.map((one) => one.count));
  const at = (row, column) => found.places.find((one) => one.row === row && one.column === column)?.count ?? 0;
  const range = [...Array(grid).keys()];
  return html`<table class="places"><caption class="note">${W.placesNote(found.regions, found.parts)}</caption><tbody>${range.map((row) => html`<tr>${range.map((column) => {
    const value = at(row, column);
    return html`<td class="heat-${value ? Math.max(1, Math.round((5 * value) / most)) : 0}"><span class="sr">${W.place(row, column, grid)}</span>${count(value)}<small>${percent(value / found.regions)}</small></td>`;
  })}</tr>`)}</tbody></table>`;
}

function Types({ types }) {
  const most = types[0].count;
  const all = types.reduce((sum, one) => sum + one.count, 0);
  return html`<table class="types"><thead><tr><th scope="col">${W.type}</th><th scope="col" class="n">${W.partsShort}</th><th scope="col" class="n">${W.sum}</th><th scope="col"><span class="sr">${W.asBar}</span></th></tr></thead>
    <tbody>${types.map((one, index) => html`<tr><th scope="row">${one.type || W.unnamed}</th><td class="n">${count(one.count)}</td><td class="n">${percent(types.slice(0, index + 1).reduce((sum, each) => sum + each.count, 0) / all)}</td>
      <td class="bars"><svg class="bar" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true"><rect class="bar-fill" width=${(100 * one.count) / most} height="12" /></svg></td></tr>`)}</tbody></table>`;
}

function Lots({ recipe, hours, setQuarantine }) {
  const poll = usePoll(() => of(recipe, "lots", hours), 10000, [recipe, hours]);
  const { may } = useContext(Live);
  return html`<section aria-labelledby="lots"><h2 id="lots">${W.lots}</h2><${Known} poll=${poll}>${(found) => {
    if (!found.lots.length) return html`<p class="note">${W.noLots}</p>`;
    const most = Math.max(0.05, ...found.lots.map((one) => one.high ?? 0));
    return html`<div class="wide" tabindex="0" role="region" aria-labelledby="lots"><table class="lots"><thead><tr><th scope="col">${W.lot}</th><th scope="col" class="n">${W.partsShort}</th><th scope="col" class="n">${labels.anomalous}</th><th scope="col">${W.interval(found.confidence)}</th><th scope="col"><span class="sr">${W.asBar}</span></th><th scope="col" class="n">${labels.review}</th><th scope="col" class="n">${labels.error}</th>${may("change") && html`<th><span class="sr">${W.quarantine}</span></th>`}</tr></thead>
      <tbody>${found.lots.map((one) => html`<tr><th scope="row">${one.lot ?? W.noLot}</th><td class="n">${count(one.parts)}</td><td class="n">${count(one.anomalous)}</td><td class="nowrap">${interval(one.low, one.high)}</td><td class="bars"><${Bar} ...${one} most=${most} /></td><td class="n">${count(one.review)}</td><td class="n">${count(one.errors)}</td>
        ${may("change") && html`<td class="n">${one.lot !== null && html`<button class="small" onClick=${() => setQuarantine({ lots: [one.lot], parts: one.parts })}>${W.quarantine}<span class="sr"> ${one.lot}</span></button>`}</td>`}</tr>`)}</tbody></table></div>
      <p class="note">${found.words ?? ""} ${found.more ? W.moreLots(found.more) : ""} ${found.lots.some((one) => one.waiting) ? W.waiting(count(found.lots.reduce((sum, one) => sum + one.waiting, 0))) : ""} ${W.barNote(percent(most, Math.ceil))}</p>`;
  }}<//></section>`;
}

function Photos({ recipe, hours }) {
  const [label, setLabel] = useState("anomalous");
  const poll = usePoll(() => get("parts" + query({ recipe, label, since: since(hours), limit: WALL })), 10000, [recipe, hours, label]);
  return html`<section aria-labelledby="photos"><div class="row between"><h2 id="photos">${W.photos}</h2>
    <div class="row" role="group" aria-label=${W.photos}>${["anomalous", "review", "error", "good"].map((one) => html`<button aria-pressed=${one === label} onClick=${() => setLabel(one)}><${Shape} of=${one} />${labels[one]}</button>`)}</div></div>
    <${Known} poll=${poll}>${(found) => found.parts.length ? html`<ul class="wall">${found.parts.map((part) => html`<li key=${part.id}><${Thumb} part=${part} regions href="#/part/${part.id}" />
      <span class="name">${nameOf(part)}</span><span class="note">${part.lot ? W.ofLot(part.lot) : ""}${part.p_value !== null ? W.pIs(pValue(part.p_value)) : part.reason ?? ""}</span>${part.truth && html`<${Badge} of=${part.truth} words=${W.truths[part.truth]} />`}</li>`)}</ul>
      ${found.next !== null ? html`<p class="note">${W.newest(found.parts.length)}</p>` : null}` : html`<p class="note">${W.noPhotos(labels[label])}</p>`}<//></section>`;
}
