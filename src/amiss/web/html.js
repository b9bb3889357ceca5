// One import for every page: templates, hooks and the root.
import { h, render, createContext, Fragment } from "./vendor/preact.js";
import htm from "./vendor/htm.js";

export { useCallback, useContext, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
export { createContext, Fragment, render };
export const html = htm.bind(h);
