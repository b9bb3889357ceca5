// AUDIT: the record, whether it is sound, one part judged again, and a copy to take away.
import { html, useState } from "./html.js";
import { get, post, query, useAction, usePoll } from "./api.js";
import { Empty, Failed, Known, Shape } from "./elements.js";
import { count, time } from "./format.js";
import { audit as W, common } from "./words.js";

const PAGE = 50;

export function Audit({ status }) {
  const head = status.data?.chain;
  return html`<div class="audit"><div class="head"><h1>${W.title}</h1></div>
    <div class="split even"><${Chain} head=${head} /><${Find} /></div>
    <${Events} head=${head} /></div>`;
}

function Chain({ head }) {
  const action = useAction(() => post("verify", {}, { patience: 0 }));
  const [found, setFound] = useState(null);
  const [at, setAt] = useState(null);
  async function run() {
    setFound(null);
    const said = await action.run();
    setFound(said ?? null);
    setAt(Date.now());
  }
  return html`<section class="card" aria-labelledby="chain"><h2 id="chain">${W.chain}</h2>
    ${head && html`<p>${W.head(count(head.seq))}<br /><code class="hash">${head.hash}</code></p><p class="note">${W.headNote}</p>`}
    <div class="row"><button class="primary" disabled=${action.busy} onClick=${run}>${action.busy ? W.verifying : W.verify}</button><a class="button" href="api/v1/export" download="amiss.chain">${W.export}</a></div>
    <${Failed} error=${action.error} />
    ${found && html`<div class="verified is-${found.sound ? "good" : "anomalous"}" role="status"><p class="verdict-line is-${found.sound ? "good" : "anomalous"}"><${Shape} of=${found.sound ? "good" : "anomalous"} /><span>${found.sound ? W.sound(count(found.events)) : W.broken(count(found.events))} <small class="note">${time(at)}</small></span></p>
      ${found.faults.length ? html`<ul>${found.faults.map((fault) => html`<li>${typeof fault === "string" ? fault : JSON.stringify(fault)}</li>`)}</ul>` : null}</div>`}
    <p class="note">${W.exportNote}</p></section>`;
}

function Find() {
  const [asked, setAsked] = useState("");
  return html`<section class="card" aria-labelledby="find"><h2 id="find">${W.find}</h2><p class="note">${W.findNote}</p>
    <form class="row" onSubmit=${(event) => (event.preventDefault(), asked.trim() && (location.hash = `#/part/${encodeURIComponent(asked.trim())}`))}>
      <label class="inline">${W.part}<input required value=${asked} autocomplete="off" onInput=${(event) => setAsked(event.target.value)} /></label><button>${W.show}</button></form></section>`;
}

function Events({ head }) {
  const [kind, setKind] = useState("");
  const [top, setTop] = useState(null);
  const last = top ?? head?.seq ?? null;
  const follow = top === null;
  const poll = usePoll(async () => (last === null ? null : get("events" + query({ kind, before: last + 1, limit: PAGE }))), 0, [last, kind]);
  const lowest = poll.data?.events.at(-1)?.seq ?? 0;
  return html`<section aria-labelledby="events"><div class="row between"><h2 id="events">${W.events}</h2><div class="row">
      <label class="inline">${W.kind}<select value=${kind} onChange=${(event) => setKind(event.target.value)}><option value="">${W.all}</option>${Object.entries(W.kinds).map(([key, words]) => html`<option value=${key}>${words}</option>`)}</select></label>
      <button disabled=${follow} onClick=${() => setTop(null)}>${W.newest}</button><button disabled=${!poll.data || poll.data.events.length < PAGE} onClick=${() => setTop(lowest - 1)}>${W.older}</button></div></div>
    ${last === null ? null : html`<${Known} poll=${poll}>${(found) => found?.events.length ? html`<div class="wide" tabindex="0" role="region" aria-labelledby="events"><table class="events"><thead><tr><th scope="col" class="n">${W.seq}</th><th scope="col">${W.at}</th><th scope="col">${W.kind}</th><th scope="col">${W.actor}</th><th scope="col">${W.about}</th><th scope="col"><span class="sr">${W.look}</span></th><th scope="col">${W.hash}</th></tr></thead>
      <tbody>${found.events.map((one) => html`<${Row} key=${one.seq} one=${one} />`)}</tbody></table></div>` : html`<${Empty} title=${W.noEvents}>${W.noEventsWhy}<//>`}<//>`}</section>`;
}

function Row({ one }) {
  const data = one.data ?? {};
  const part = data.part ?? (one.kind === "judged" ? data.id : null);
  const label = data.blind && !data.truth ? "unknown" : data.truth ?? data.label;
  const short = [label && (W.said[label] ?? label), data.recipe && (data.version ? W.version(data.recipe, data.version) : data.recipe), data.serial ?? data.name, data.reason].filter(Boolean).join(common.between);
  return html`<tr><td class="n">${one.seq}</td><td class="nowrap">${time(one.at)}</td><td class="nowrap">${label ? html`<${Shape} of=${label} /> ` : null}${W.kinds[one.kind] ?? one.kind}</td><td>${one.actor}</td>
    <td><details><summary>${short || W.details}</summary><pre tabindex="0">${JSON.stringify(data, null, 1)}</pre></details></td><td>${part ? html`<a href="#/part/${part}">${W.look}</a>` : null}</td><td><code>${one.hash.slice(0, 8)}</code></td></tr>`;
}
