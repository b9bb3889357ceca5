// LEARN: good images in, an inspector out; what it promises is shown before anybody lets it judge.
import { html, useRef, useState } from "./html.js";
import { call, get, post, useAction, usePoll } from "./api.js";
import { Ask, Failed, Field, Known, Shape, Trade } from "./elements.js";
import { bytes, count, span } from "./format.js";
import { chosen, dropped, useUpload } from "./upload.js";
import { common, learn as W } from "./words.js";

const MANY_REFUSED = 20;

export function Learn() {
  const poll = usePoll(() => get("learnings"), 1500, []);
  return html`<div class="learn"><div class="head"><h1>${W.title}</h1></div><p class="lead">${W.lead}</p>
    <${Begin} begun=${poll.reload} />
    <${Known} poll=${poll}>${(found) => found.learnings.length ? found.learnings.map((one) => html`<${One} key=${one.id} one=${one} changed=${poll.reload} />`) : html`<p class="note">${W.none}</p>`}<//></div>`;
}

function Begin({ begun }) {
  const [asked, setAsked] = useState({ recipe: "", method: "ensemble", preset: "default", size: 256, rule: "conformal" });
  const known = usePoll(() => get("recipes"), 0, []);
  const choices = usePoll(() => get("learnings/methods", { patience: 0 }), 0, []);
  const action = useAction((body) => post("learnings", body));
  const set = (name) => (event) => setAsked({ ...asked, [name]: event.target.value });
  async function submit(event) {
    event.preventDefault();
    if (await action.run({ ...asked, recipe: asked.recipe.trim(), size: Number(asked.size) })) {
      setAsked({ ...asked, recipe: "" });
      begun();
    }
  }
  return html`<form class="card begin" onSubmit=${submit} aria-labelledby="begin"><h2 id="begin">${W.begin}</h2>
    <div class="row top-aligned"><${Field} label=${W.recipe} hint=${W.recipeHint}><input required maxlength="64" list="recipes" pattern="[\\w][\\w.\\-]*" autocomplete="off" value=${asked.recipe} onInput=${set("recipe")} /><//>
      <datalist id="recipes">${(known.data?.recipes ?? []).map((one) => html`<option value=${one.recipe} />`)}</datalist>
      <button class="primary" disabled=${action.busy}>${action.busy ? common.working : W.start}</button></div>
    <details><summary>${W.more}</summary><div class="row top-aligned">
      <${Method} choices=${choices} asked=${asked} choose=${(more) => setAsked({ ...asked, ...more })} />
      <${Field} label=${W.size} hint=${W.sizeHint}><input required type="number" min="16" max="2048" value=${asked.size} onInput=${set("size")} /><//>
      <${Field} label=${W.rule} hint=${W.ruleHint}><input required list="rules" value=${asked.rule} onInput=${set("rule")} /><//><datalist id="rules">${W.rules.map((one) => html`<option value=${one} />`)}</datalist></div>
      <${Cost} choices=${choices} asked=${asked} choose=${(more) => setAsked({ ...asked, ...more })} /></details>
    <${Failed} error=${action.error} /></form>`;
}

const shown = (preset) => preset === "tiny" ? W.forTests(preset) : preset;

/** Method and preset, each chosen from a list. */
function Method({ choices, asked, choose }) {
  const methods = choices.data?.methods ?? [{ method: asked.method, title: asked.method, presets: [{ preset: asked.preset }] }];
  const own = methods.find((one) => one.method === asked.method) ?? methods[0];
  const first = (name) => methods.find((one) => one.method === name).presets[0].preset;
  return html`<${Field} label=${W.method}><select value=${asked.method} onChange=${(event) => choose({ method: event.target.value, preset: first(event.target.value) })}>${methods.map((one) => html`<option value=${one.method}>${one.title}</option>`)}</select><//>
    <${Field} label=${W.preset}><select value=${asked.preset} onChange=${(event) => choose({ preset: event.target.value })}>${own.presets.map((one) => html`<option value=${one.preset}>${shown(one.preset)}</option>`)}</select><//>`;
}

/** What the chosen method is and costs, and the others beside it. */
function Cost({ choices, asked, choose }) {
  if (choices.error) return html`<${Failed} error=${choices.error} retry=${choices.reload} />`;
  if (!choices.data) return html`<p class="note" role="status">${W.listing}</p>`;
  const own = choices.data.methods.find((one) => one.method === asked.method);
  const cost = own?.presets.find((one) => one.preset === asked.preset)?.measured;
  const rows = choices.data.methods.flatMap((one) => one.presets.filter((each) => each.measured && each.preset !== "tiny").map((each) => ({ ...one, ...each })));
  const none = common.none;
  return html`<p class="cost" role="status">${own ? W.isFrom(own.paper) : ""} ${cost ? W.costs(cost.words, span(cost.fit_ms_per_image[0] / 10), span(cost.fit_ms_per_image[1] / 10)) : W.notMeasured}${own && !own.localises ? ` ${W.noMap}` : ""}</p>
    <details><summary>${W.compare}</summary><div class="wide" tabindex="0" role="region" aria-label=${W.compare}><table class="costs"><thead><tr><th scope="col">${W.method}</th><th scope="col">${W.preset}</th><th scope="col" class="n">${W.auroc}</th><th scope="col" class="n">${W.sets}</th><th scope="col" class="n">${W.ms}</th><th scope="col" class="n">${W.memory}</th><th><span class="sr">${W.take}</span></th></tr></thead>
      <tbody>${rows.map((one) => html`<tr class=${one.method === asked.method && one.preset === asked.preset ? "current" : ""}><th scope="row">${one.title}</th><td>${one.preset}</td><td class="n">${one.measured.mean === null ? none : one.measured.mean.toFixed(3)}</td><td class="n">${Object.keys(one.measured.image_auroc).length} × ${one.measured.seeds}</td><td class="n">${one.measured.ms_per_image ?? none}</td><td class="n">${bytes(one.measured.peak_mb * 1e6)}</td>
        <td class="n"><button type="button" class="small" onClick=${() => choose({ method: one.method, preset: one.preset })}>${W.take}<span class="sr"> ${one.title} ${one.preset}</span></button></td></tr>`)}</tbody></table></div><p class="note">${W.compareNote}</p></details>`;
}

function One({ one, changed }) {
  const [asked, setAsked] = useState(null);
  const upload = useUpload(one.id, changed);
  const go = useAction(async (what) => {
    await post(`learnings/${one.id}/${what}`);
    changed();
  });
  const shape = { collecting: "unknown", running: "review", cancelled: "unknown", failed: "error", done: "good" }[one.state];
  const close = (done) => (setAsked(null), done && changed());
  return html`<section class="card learning" aria-label=${W.of(one.recipe)}>
    <div class="head"><h2>${one.recipe}</h2><p class="badge large is-${shape}"><${Shape} of=${shape} /><span>${W.states[one.state]}</span></p></div>
    <p class="note">${W.about(one.method, one.preset, one.size, one.rule, count(one.images))}</p>
    ${one.state === "collecting" && html`<${Drop} upload=${upload} /><${Sent} upload=${upload} />`}
    ${one.state === "running" && html`<${Progress} one=${one} />`}
    ${one.error && html`<p class="alarm"><${Shape} of="error" /><span>${one.error}</span></p>`}
    ${one.state === "done" && html`<p class="statement">${one.statement}</p>${one.refused ? html`<p class="alarm"><${Shape} of="error" /><span>${one.refused}</span></p>` : null}${one.trade?.length ? html`<${Trade} rows=${one.trade} />` : null}`}
    <${Failed} error=${go.error} />
    <div class="row">
      ${one.state === "collecting" && html`<button class="primary" disabled=${!one.images || upload.busy || go.busy} onClick=${() => go.run("start")}>${W.run(count(one.images), one.images)}</button>`}
      ${one.state === "running" && html`<button disabled=${go.busy} onClick=${() => go.run("cancel")}>${W.cancel}</button>`}
      ${["cancelled", "failed"].includes(one.state) && html`<button class="primary" disabled=${go.busy} onClick=${() => go.run("resume")}>${W.resume}</button>`}
      ${one.state === "done" && one.version !== null && html`<button class="primary" onClick=${() => setAsked("deploy")}>${W.deploy(one.version)}</button>`}
      ${one.state !== "running" && html`<button onClick=${() => setAsked("remove")}>${W.remove}</button>`}
    </div>
    ${asked === "deploy" && html`<${Deploy} one=${one} close=${close} />`}
    ${asked === "remove" && html`<${Ask} title=${W.removeTitle(one.recipe)} text=${W.removeText} action=${W.remove} danger reason=${false} close=${close} act=${() => call("DELETE", `learnings/${one.id}`)} />`}
  </section>`;
}

function Drop({ upload }) {
  const [over, setOver] = useState(false);
  const folder = useRef();
  const files = useRef();
  const take = (place) => (event) => {
    upload.add(chosen(event.target));
    place.current.value = "";
  };
  async function drop(event) {
    event.preventDefault();
    setOver(false);
    upload.add(await dropped(event.dataTransfer));
  }
  return html`<div class="drop ${over ? "over" : ""}" onDragOver=${(event) => (event.preventDefault(), setOver(true))} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <p>${W.drop}</p><div class="row"><button onClick=${() => folder.current.click()}>${W.folder}</button><button onClick=${() => files.current.click()}>${W.files}</button></div>
    <input class="folder" ref=${folder} type="file" webkitdirectory multiple hidden onChange=${take(folder)} /><input class="files" ref=${files} type="file" multiple accept="image/*" hidden onChange=${take(files)} />
    <p class="note">${W.dropNote}</p></div>`;
}

function Sent({ upload }) {
  if (!upload.total && !upload.others) return null;
  return html`<div class="sent"><div class="row between"><p role="status">${W.sent(count(upload.sent), count(upload.total))}${upload.others ? W.others(count(upload.others), upload.others) : ""}</p>
      ${upload.busy ? html`<button onClick=${upload.stop}>${W.stop}</button>` : upload.left ? html`<button class="primary" onClick=${upload.go}>${W.goOn}</button>` : null}</div>
    <progress max=${upload.total || 1} value=${upload.sent} aria-label=${W.sending}></progress>
    <${Failed} error=${upload.error} />
    ${upload.refused.length ? html`<details open><summary>${W.refused(count(upload.refused.length))}</summary><ul class="refused">${upload.refused.slice(0, MANY_REFUSED).map((one) => html`<li><code>${one.name}</code> ${one.why}</li>`)}</ul></details>` : null}</div>`;
}

const Progress = ({ one }) =>
  html`<div class="sent"><p role="status">${one.stage || W.starting}${one.total ? W.step(count(one.done), count(one.total)) : ""}${one.seconds_left !== null && one.seconds_left !== undefined ? W.left(span(one.seconds_left)) : ""}</p>
    ${one.total ? html`<progress max=${one.total} value=${one.done} aria-label=${W.learning}></progress>` : html`<progress aria-label=${W.learning}></progress>`}<p class="note">${W.mayLeave}</p></div>`;

function Deploy({ one, close }) {
  const known = usePoll(() => get("recipes"), 0, []);
  const current = known.data?.recipes.find((each) => each.recipe === one.recipe)?.current ?? null;
  const act = (reason) => post(`recipes/${encodeURIComponent(one.recipe)}/deployments`, { version: one.version, reason, expected_current: current });
  return html`<${Ask} title=${W.deployTitle(one.recipe, one.version)} text=${current === null ? W.deployFirst : W.deployInstead(current)} action=${W.deployAction} close=${close} act=${act}><p class="statement">${one.statement}</p><//>`;
}
