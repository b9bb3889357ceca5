// Name and password.
import { html, useEffect, useState } from "./html.js";
import { post } from "./api.js";
import { Failed, Field } from "./elements.js";
import { login as W } from "./words.js";

export function Login({ entered }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [state, setState] = useState({ busy: false, error: null });
  useEffect(() => {
    document.title = W.title;
  }, []);
  async function submit(event) {
    event.preventDefault();
    setState({ busy: true, error: null });
    try {
      entered(await post("/login", { name: name.trim(), password }));
    } catch (error) {
      setPassword("");
      setState({ busy: false, error });
    }
  }
  const wait = state.error?.status === 429 && state.error.retry ? W.wait(state.error.retry) : null;
  return html`<main class="alone"><form class="login" onSubmit=${submit}>
    <h1>${W.name}</h1><p class="note">${W.lead}</p>
    <${Field} label=${W.who}><input name="name" autocomplete="username" required autofocus value=${name} onInput=${(event) => setName(event.target.value)} /><//>
    <${Field} label=${W.password}><input name="password" type="password" autocomplete="current-password" required value=${password} onInput=${(event) => setPassword(event.target.value)} /><//>
    <${Failed} error=${state.error} />
    ${wait && html`<p class="note">${wait}</p>`}
    <button class="primary" disabled=${state.busy}>${state.busy ? W.working : W.enter}</button>
    <p class="note">${W.forgotten}</p>
  </form></main>`;
}
