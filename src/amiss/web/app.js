// The frame of every page: who asks, which page, what the station says, pause and colours.
import { html, render, useCallback, useEffect, useMemo, useRef, useState } from "./html.js";
import { Live, get, onLoggedOut, post, usePoll } from "./api.js";
import { Failed, Loading, Shape } from "./elements.js";
import { time } from "./format.js";
import { useKeys } from "./keys.js";
import { app as W, roles } from "./words.js";
import { Audit } from "./audit.js";
import { Learn } from "./learn.js";
import { Line } from "./line.js";
import { Login } from "./login.js";
import { PartPage } from "./part.js";
import { Quality } from "./quality.js";
import { Recipes } from "./recipes.js";
import { Review } from "./review.js";

const PAGES = [
  { key: "line", page: Line, may: "read" },
  { key: "review", page: Review, may: "label" },
  { key: "quality", page: Quality, may: "read" },
  { key: "recipes", page: Recipes, may: "read" },
  { key: "learn", page: Learn, may: "change" },
  { key: "audit", page: Audit, may: "trace" },
  { key: "part", page: PartPage, may: "read", hidden: true },
];
const THEMES = ["auto", "light", "dark"];

/** Page, what follows it, and options, from the address after #. */
function useRoute() {
  const read = () => {
    const [path, options] = location.hash.replace(/^#\/?/, "").split("?");
    const [key, ...rest] = path.split("/").map(decodeURIComponent);
    return { key: key || "line", rest, options: new URLSearchParams(options) };
  };
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const next = () => setRoute(read());
    addEventListener("hashchange", next);
    return () => removeEventListener("hashchange", next);
  }, []);
  return route;
}

function useTheme() {
  const [theme, setTheme] = useState(() => localStorage.getItem("theme") ?? "auto");
  useEffect(() => {
    localStorage.setItem("theme", theme);
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }, [theme]);
  return [theme, () => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length])];
}

function App() {
  const [me, setMe] = useState(undefined);
  const [error, setError] = useState(null);
  const ask = useCallback(async () => {
    setError(null);
    try {
      setMe(await get("me"));
    } catch (failure) {
      if (failure.status === 401) setMe(null);
      else setError(failure);
    }
  }, []);
  useEffect(() => {
    onLoggedOut(() => setMe(null));
    ask();
  }, []);
  if (error) return html`<main class="alone"><${Failed} error=${error} retry=${ask} /></main>`;
  if (me === undefined) return html`<main class="alone"><${Loading} /></main>`;
  if (me === null) return html`<${Login} entered=${setMe} />`;
  return html`<${Frame} me=${me} leave=${() => setMe(null)} />`;
}

function Frame({ me, leave }) {
  const route = useRoute();
  const [theme, nextTheme] = useTheme();
  const [paused, setPaused] = useState(false);
  const may = (what) => me.may.includes(what);
  const shown = PAGES.filter((one) => may(one.may));
  const found = shown.find((one) => one.key === route.key);
  const main = useRef();
  const wall = route.options.has("wall");
  useKeys({ p: () => setPaused((old) => !old) });
  useEffect(() => {
    document.title = W.title(W.pages[route.key] ?? W.pages.line);
    document.documentElement.classList.toggle("kiosk", wall);
    scrollTo(0, 0);
  }, [route.key, wall]);
  const live = { paused, me, may };
  return html`<${Live.Provider} value=${live}>
    <a class="skip" href="#main" onClick=${(event) => (event.preventDefault(), main.current.focus())}>${W.skip}</a>
    <${Inside} ...${{ route, shown, found, main, wall, paused, setPaused, theme, nextTheme, leave, me }} />
  <//>`;
}

function Inside({ route, shown, found, main, wall, paused, setPaused, theme, nextTheme, leave, me }) {
  const status = usePoll(() => get("status"), 2000, []);
  const Page = found?.page;
  async function logOut() {
    await post("/logout").catch(() => {});
    leave();
  }
  return html`
    <header class="top">
      <a class="brand" href="#/line"><svg viewBox="0 0 32 32" aria-hidden="true"><${Mark} /></svg><span>${W.name}</span></a>
      <p class="station">${status.data?.station ?? ""}</p>
      <nav aria-label=${W.nav}>${shown.filter((one) => !one.hidden).map((one) => html`<a href="#/${one.key}" aria-current=${one === found ? "page" : undefined}>${W.pages[one.key]}<${Left} of=${one.key} status=${status.data} /></a>`)}</nav>
      <div class="tools">
        <button class="toggle" aria-pressed=${paused} onClick=${() => setPaused(!paused)} title=${W.pauseHint}>${paused ? W.go : W.pause}</button>
        <button class="theme" onClick=${nextTheme} title=${W.themeHint}><${Half} /><span>${W.themes[theme]}</span></button>
        ${me.people && html`<span class="who" title=${roles[me.role]}>${me.name}<small>${me.role}</small></span><button onClick=${logOut}>${W.logOut}</button>`}
      </div>
    </header>
    <${State} status=${status} paused=${paused} />
    <main id="main" tabindex="-1" ref=${main} class="page-${route.key}">
      ${Page ? html`<${Page} key=${route.key} route=${route} status=${status} wall=${wall} />` : html`<h1>${W.notHere}</h1><p>${W.notHereWhy(roles[me.role] ?? me.role)}</p>`}
    </main>`;
}

const Half = () => html`<svg class="half" viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="6.5" fill="none" stroke="currentcolor" stroke-width="2" /><path d="M8 2a6 6 0 0 1 0 12Z" fill="currentcolor" /></svg>`;

const Mark = () => html`<rect width="32" height="32" rx="7" class="mark-back" />${[9, 16, 23].flatMap((y) => [9, 16, 23].map((x) => (x === 23 && y === 16 ? null : html`<circle cx=${x} cy=${y} r="3" class="mark-good" />`)))}<rect x="19.6" y="12.6" width="6.8" height="6.8" class="mark-odd" transform="rotate(45 23 16)" />`;

function Left({ of, status }) {
  const left = status && of === "review" ? status.review + status.audit + status.disagreement : 0;
  return left ? html`<span class="count" aria-label=${W.left(left)}>${left > 999 ? W.many : left}</span>` : null;
}

/** A line under the top: what is wrong with the station, the connection, or that the page stands still. */
function State({ status, paused }) {
  const said = useMemo(() => {
    if (status.error) return ["error", W.lost(status.at ? time(status.at) : null, status.error.message)];
    if (status.data && !status.data.accepting) return ["error", W.refusing(status.data.why)];
    if (paused) return ["review", W.paused];
    return null;
  }, [status.error, status.data, paused]);
  return html`<div class="state ${said ? said[0] : "none"}" role="status">${said && html`<${Shape} of=${said[0]} /><span>${said[1]}</span>`}</div>`;
}

render(html`<${App} />`, document.getElementById("app"));
