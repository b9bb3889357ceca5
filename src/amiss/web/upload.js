// Files that people choose or drop, folders with all that is in them, sent a few at a time; can stop and go on.
import { useRef, useState } from "./html.js";
import { call } from "./api.js";

const AT_ONCE = 3;
const TRIES = 3;
const IMAGES = /\.(png|jpe?g|bmp|tiff?|webp|ppm|pgm|pnm)$/i;

/** [name, File] of everything that was dropped, folders included. */
export async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  async function walk(entry) {
    if (entry.isFile) {
      const file = await new Promise((give, fail) => entry.file(give, fail));
      found.push([entry.fullPath.replace(/^\//, ""), file]);
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((give, fail) => reader.readEntries(give, fail));
      if (!some.length) return;
      for (const each of some) await walk(each);
    }
  }
  for (const entry of entries) await walk(entry);
  return found;
}

/** [name, File] of what was chosen. */
export const chosen = (input) => [...input.files].map((file) => [file.webkitRelativePath || file.name, file]);

/** Sends files to a learning: how many of how many, what was refused and why, what is not an image file by its name. */
export function useUpload(learning, told) {
  const [state, setState] = useState({ sent: 0, total: 0, refused: [], others: 0, busy: false, error: null });
  const left = useRef([]);
  const stop = useRef(null);

  async function one([name, file], signal) {
    const path = name.split("/").map(encodeURIComponent).join("/");
    for (let time = 1; ; time++) {
      try {
        return void (await call("PUT", `learnings/${learning}/images/${path}`, file, { patience: 0, signal }));
      } catch (error) {
        if (error.status === 422 || error.status === 413) {
          setState((old) => ({ ...old, refused: [...old.refused, { name, why: error.message }] }));
          return undefined;
        }
        if (signal.aborted || time === TRIES || ![0, 429, 503].includes(error.status)) throw error;
        await new Promise((go) => setTimeout(go, 1000 * (error.retry ?? time)));
      }
    }
  }

  async function send() {
    const control = new AbortController();
    stop.current = control;
    setState((old) => ({ ...old, busy: true, error: null }));
    const work = async () => {
      while (left.current.length && !control.signal.aborted) {
        const next = left.current.shift();
        try {
          await one(next, control.signal);
          setState((old) => ({ ...old, sent: old.sent + 1 }));
        } catch (error) {
          left.current.unshift(next);
          if (!control.signal.aborted) {
            control.abort();
            setState((old) => ({ ...old, error }));
          }
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    setState((old) => ({ ...old, busy: false }));
    told();
  }

  return {
    ...state,
    left: state.total - state.sent,
    add(files) {
      const images = files.filter(([name]) => IMAGES.test(name) && !name.split("/").some((part) => part.startsWith(".")));
      left.current.push(...images);
      setState((old) => ({ ...old, total: old.total + images.length, others: old.others + files.length - images.length }));
      if (images.length && !state.busy) send();
    },
    stop: () => stop.current?.abort(),
    go: send,
  };
}
