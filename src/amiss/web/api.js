// The one way to the server: JSON in and out, errors in words, polling that can pause.
import { useCallback, useContext, useEffect, useRef, useState, createContext } from "./html.js";
import { errors } from "./words.js";

const ROOT = "api/v1/";
const PATIENCE = 30000;

export class Failure extends Error {
  /** What went wrong: words for people, HTTP's status (0: no connection) and the id in the server's log. */
  constructor(words, status, id = "", retry = null) {
    super(words);
    Object.assign(this, { status, id, retry });
  }
}

let loggedOut = () => {};
/** Call this when the server no longer knows who asks. */
export function onLoggedOut(call) {
  loggedOut = call;
}

/** Ask the server; the body is sent as JSON unless it is a file. */
export async function call(method, path, body, { patience = PATIENCE, signal, headers = {} } = {}) {
  const file = body instanceof Blob;
  const limit = patience ? AbortSignal.timeout(patience) : null;
  const signals = [limit, signal].filter(Boolean);
  let answer;
  try {
    answer = await fetch(path.startsWith("/") ? path.slice(1) : ROOT + path, {
      method,
      body: body === undefined ? undefined : file ? body : JSON.stringify(body),
      headers: body === undefined ? headers : { "content-type": file ? "application/octet-stream" : "application/json", ...headers },
      signal: signals.length ? AbortSignal.any(signals) : undefined,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Failure(error.name === "TimeoutError" ? errors.slow : errors.offline, 0);
  }
  if (answer.status === 204) return null;
  const said = await answer.json().catch(() => null);
  if (answer.ok && said !== null) return said;
  if (answer.status === 401 && path !== "/login") loggedOut();
  const words = said?.error ?? errors.odd(answer.status);
  throw new Failure(words, answer.status, said?.id, Number(answer.headers.get("retry-after")) || null);
}

export const get = (path, options) => call("GET", path, undefined, options);
export const post = (path, body = {}, options) => call("POST", path, body, options);

/** Values that are not empty, as the query of an address. */
export function query(values) {
  const kept = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return kept.length ? "?" + new URLSearchParams(kept) : "";
}

export const Live = createContext({ paused: false });

/** What `ask` gives, again every `every` ms (0: once) and whenever `deps` change; the last answer stays when one fails. */
export function usePoll(ask, every, deps) {
  const { paused } = useContext(Live);
  const [state, setState] = useState({ data: null, error: null, at: null });
  const [turn, setTurn] = useState(0);
  const current = useRef(0);
  useEffect(() => setState({ data: null, error: null, at: null }), deps);
  useEffect(() => {
    const mine = ++current.current;
    let timer = 0;
    const again = () => every && !paused && (timer = setTimeout(once, every));
    async function once() {
      if (document.hidden && every) return again();
      try {
        const data = await ask();
        if (mine === current.current) setState({ data, error: null, at: Date.now() });
      } catch (error) {
        if (mine === current.current) setState((old) => ({ ...old, error }));
      }
      if (mine === current.current) again();
    }
    once();
    return () => {
      current.current++;
      clearTimeout(timer);
    };
  }, [...deps, every, paused, turn]);
  return { ...state, reload: useCallback(() => setTurn((old) => old + 1), []) };
}

/** A write that a person asked for: whether it is under way, and why it failed. */
export function useAction(act) {
  const [state, setState] = useState({ busy: false, error: null });
  const run = async (...all) => {
    setState({ busy: true, error: null });
    try {
      const found = await act(...all);
      setState({ busy: false, error: null });
      return found;
    } catch (error) {
      setState({ busy: false, error });
      return undefined;
    }
  };
  return { ...state, run, clear: () => setState({ busy: false, error: null }) };
}
