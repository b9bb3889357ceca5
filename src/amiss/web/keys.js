// Single keys for pages that are worked with all day.
import { useLayoutEffect, useRef } from "./html.js";

const FIELDS = new Set(["INPUT", "TEXTAREA", "SELECT"]);

/** Single keys; not while something is typed, and not with Ctrl, Alt or Cmd. */
export function useKeys(keys, active = true) {
  const place = useRef(keys);
  place.current = keys;
  useLayoutEffect(() => {
    if (!active) return undefined;
    const pressed = (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
      if (FIELDS.has(event.target.tagName) || document.querySelector("dialog[open]")) return;
      const call = place.current[event.key.toLowerCase()];
      if (call) {
        event.preventDefault();
        call();
      }
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [active]);
}
