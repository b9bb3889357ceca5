// RECIPES: which version judges, what it promises, what else there is; promote, roll back, recalibrate, upload.
import { html, useContext, useState } from "./html.js";
import { Live, call, get, post, usePoll } from "./api.js";
import { Ask, Empty, Field, Known, Shape, Trade } from "./elements.js";
import { percent, score, time } from "./format.js";
import { Pools, PutInShadow, Shadow, Trial, TrialOf } from "./shadow.js";
import { recipes as W } from "./words.js";

/** What a signature says, on one line and in ASCII, as a header must be. */
const encoded = (text) => text.replace(/\s+/g, " ").replace(/[^ -~]/g, "?").trim();
const of = (recipe, what) => `recipes/${encodeURIComponent(recipe)}/${what}`;

export function Recipes() {
  const poll = usePoll(() => get("recipes"), 5000, []);
  const { may } = useContext(Live);
  const [asked, setAsked] = useState(null);
  const [fresh, setFresh] = useState({});
  const close = (done) => {
    setAsked(null);
    if (done) poll.reload();
  };
  return html`<div class="recipes">
    <div class="head"><h1>${W.title}</h1>${may("change") && html`<div class="row"><button onClick=${() => setAsked({ kind: "upload", recipe: "" })}>${W.upload}</button><a class="button primary" href="#/learn">${W.learn}</a></div>`}</div>
    <${Known} poll=${poll}>${(found) => found.recipes.length ? found.recipes.map((one) => html`<${One} key=${one.recipe} one=${one} ask=${setAsked} fresh=${fresh[one.recipe]} />`) : html`<${Empty} title=${W.none}>${may("change") ? W.noneMay : W.noneMayNot}<//>`}<//>
    ${asked?.kind === "promote" && html`<${Promote} asked=${asked} close=${close} />`}
    ${asked?.kind === "back" && html`<${Back} asked=${asked} close=${close} />`}
    ${asked?.kind === "shadow" && html`<${PutInShadow} asked=${asked} close=${close} />`}
    ${asked?.kind === "again" && html`<${Again} asked=${asked} close=${close} got=${(found) => setFresh({ ...fresh, [found.recipe]: found })} />`}
    ${asked?.kind === "upload" && html`<${Upload} asked=${asked} close=${close} got=${(found) => setFresh({ ...fresh, [found.recipe]: found })} />`}
  </div>`;
}

function One({ one, ask, fresh }) {
  const { may } = useContext(Live);
  const current = one.versions.find((each) => each.version === one.current);
  const before = one.deployments.some((each) => each.version !== one.current);
  return html`<section class="recipe card" aria-label=${one.recipe}>
    <div class="head"><h2>${one.recipe}</h2>${may("change") && html`<div class="row"><button onClick=${() => ask({ kind: "upload", recipe: one.recipe })}>${W.uploadHere}</button>
      <button disabled=${!current} onClick=${() => ask({ kind: "again", recipe: one.recipe, about: current.about })}>${W.recalibrate}</button>
      <button class="danger" disabled=${!before || !current} onClick=${() => ask({ kind: "back", recipe: one.recipe, current: one.current })}>${W.back}</button></div>`}</div>
    ${current ? html`<p class="statement">${current.about.statement}</p>` : html`<p class="alarm"><${Shape} of="error" /><span>${W.nothing}</span></p>`}
    ${fresh && html`<div class="fresh" role="status"><p><${Shape} of="good" /> ${fresh.known ? W.known(fresh.version) : W.added(fresh.version)}</p><p class="statement">${fresh.about?.statement}</p>${fresh.refused ? html`<p class="alarm"><${Shape} of="error" /><span>${fresh.refused}</span></p>` : null}${fresh.trade?.length ? html`<${Trade} rows=${fresh.trade} />` : null}
      ${fresh.trial && current ? html`<${Trial} found=${fresh.trial} before=${W.before(one.current)} after=${W.before(fresh.version)} />` : null}</div>`}
    ${one.shadow !== null && html`<${Shadow} one=${one} ask=${ask} />`}
    ${current && html`<${Pools} recipe=${one.recipe} />`}
    <div class="wide" tabindex="0" role="region" aria-label=${W.versionsOf(one.recipe)}><table><thead><tr><th scope="col">${W.version}</th><th scope="col">${W.method}</th><th scope="col">${W.rule}</th><th scope="col" class="n">${W.n}</th><th scope="col" class="n">${W.alpha}</th><th scope="col" class="n">${W.threshold}</th><th scope="col">${W.added2}</th><th scope="col">${W.fingerprint}</th>${may("change") ? html`<th><span class="sr">${W.actions}</span></th>` : null}</tr></thead>
      <tbody>${[...one.versions].sort((a, b) => b.version - a.version).map((each) => html`<tr class=${each.version === one.current ? "current" : ""}><th scope="row" class="nowrap">${W.v(each.version)}${each.version === one.current ? html` <span class="tag"><${Shape} of="good" />${W.current}</span>` : null}${each.version === one.shadow ? html` <span class="tag">${W.inShadow}</span>` : null}</th><td>${each.about.method}</td><td>${each.about.rule}</td><td class="n">${each.about.n}</td><td class="n nowrap">${percent(each.about.alpha)}</td><td class="n">${score(each.about.threshold)}</td><td class="nowrap">${time(each.at)}</td><td><code>${each.fingerprint.slice(0, 10)}</code></td>
        ${may("change") ? html`<td class="n">${each.version !== one.current ? html`<div class="row end-row">${current && each.version !== one.shadow ? html`<button class="small" onClick=${() => ask({ kind: "shadow", recipe: one.recipe, version: each.version })}>${W.shadow}<span class="sr"> ${W.v(each.version)}</span></button>` : null}<button class="small" onClick=${() => ask({ kind: "promote", recipe: one.recipe, current: one.current, to: each, from: current })}>${W.promote}<span class="sr"> ${W.v(each.version)}</span></button></div>` : null}</td>` : null}</tr>`)}</tbody></table></div>
    <details><summary>${W.history(one.deployments.length)}</summary><ol class="history" reversed>${[...one.deployments].reverse().map((each) => html`<li><strong>${W.v(each.version)}</strong> ${W.deployed(time(each.at), each.actor)}<q>${each.reason}</q></li>`)}</ol></details>
  </section>`;
}

function Promote({ asked, close }) {
  const act = (reason) => post(of(asked.recipe, "deployments"), { version: asked.to.version, reason, expected_current: asked.current ?? null });
  return html`<${Ask} title=${W.promoteTitle(asked.recipe, asked.to.version)} text=${W.promoteText(asked.current)} action=${W.promote} close=${close} act=${act}>
    <div class="before-after">${asked.from && html`<div><h3>${W.now(asked.current)}</h3><p>${asked.from.about.statement}</p></div>`}<div><h3>${W.then(asked.to.version)}</h3><p>${asked.to.about.statement}</p></div></div>
    ${asked.from && html`<${TrialOf} recipe=${asked.recipe} version=${asked.to.version} before=${W.before(asked.current)} after=${W.before(asked.to.version)} />`}<//>`;
}

const Back = ({ asked, close }) => html`<${Ask} title=${W.backTitle(asked.recipe)} text=${W.backText(asked.current)} action=${W.back} danger close=${close} act=${(reason) => post(of(asked.recipe, "rollback"), { reason })} />`;

function Again({ asked, close, got }) {
  const [rule, setRule] = useState("conformal");
  const [alpha, setAlpha] = useState("");
  const [scores, setScores] = useState("stored");
  const act = async () => got(await post(of(asked.recipe, "recalibrations"), { rule, alpha: alpha.trim(), scores }, { patience: 0 }));
  return html`<${Ask} title=${W.againTitle(asked.recipe)} text=${scores === "stored" ? W.againText(asked.about.n) : W.againAudited} action=${W.recalibrate} reason=${false} close=${close} act=${act}>
    <div class="row"><${Field} label=${W.scores}><select value=${scores} onChange=${(event) => setScores(event.target.value)}>${["stored", "audited"].map((one) => html`<option value=${one}>${W.scoresOf[one]}</option>`)}</select><//>
    <${Field} label=${W.rule}><select value=${rule} onChange=${(event) => setRule(event.target.value)}>${["conformal", "certified"].map((one) => html`<option value=${one}>${W.rules[one]}</option>`)}</select><//>
    <${Field} label=${W.alpha} hint=${W.alphaHint}><input required size="8" inputmode="decimal" value=${alpha} onInput=${(event) => setAlpha(event.target.value)} /><//></div><//>`;
}

function Upload({ asked, close, got }) {
  const [name, setName] = useState(asked.recipe);
  const file = (id) => document.getElementById(id).files[0];
  async function act() {
    const signature = file("signature-file");
    const headers = signature ? { "amiss-signature": encoded(await signature.text()) } : {};
    got(await call("POST", of(name.trim(), "versions"), file("model-file"), { patience: 0, headers }));
  }
  return html`<${Ask} title=${W.uploadTitle} text=${W.uploadText} action=${W.uploadAction} reason=${false} close=${close} act=${act}>
    <${Field} label=${W.recipe} hint=${W.recipeHint}><input required maxlength="64" readonly=${Boolean(asked.recipe)} value=${name} onInput=${(event) => setName(event.target.value)} /><//>
    <div class="field"><label for="model-file">${W.file}</label><input id="model-file" type="file" accept=".amiss" required /></div>
    <div class="field"><label for="signature-file">${W.signature}</label><input id="signature-file" type="file" accept=".sig" /></div><//>`;
}
