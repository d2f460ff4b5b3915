// The form that connects the page to a broker.
import { checkAddress, checkPrefix } from "./connection.js";
import { html, live, nothing } from "./html.js";
import { format, text } from "./language.js";

const KEPT = "tallybox-broker";

// What the form begins with: the link's address, else the remembered one.
export function beginLogin(query) {
  let kept = null;
  try { kept = JSON.parse(localStorage.getItem(KEPT)); } catch { /* nothing is kept */ }
  const link = query.get("broker");
  return {
    broker: link ?? kept?.broker ?? "", prefix: query.get("prefix") ?? kept?.prefix ?? "tallybox/v1", user: query.get("user") ?? "",
    remember: Boolean(kept), fromLink: link !== null, busy: false, error: null,
  };
}

export function remember(login) {
  try {
    if (login.remember) localStorage.setItem(KEPT, JSON.stringify({ broker: login.broker, prefix: login.prefix }));
    else localStorage.removeItem(KEPT);
  } catch { /* a browser that keeps nothing */ }
}

// The words for what went wrong: a name of ours, or the broker's code.
export function problemWords(problem) {
  const { code, reason } = problem ?? {};
  if (code === "denied") return text.login.denied;
  if (code === 142) return text.link.takenOver;
  if (typeof code === "number" && code >= 0x80) return text.login.codes[code] ?? text.login.refused(format.number(code), reason);
  return text.login.unreachable;
}

function submit(event, app) {
  event.preventDefault();
  const { login } = app, fields = new FormData(event.target);
  for (const name of ["broker", "prefix", "user"]) login[name] = String(fields.get(name)).trim();
  login.remember = fields.has("remember");
  const url = checkAddress(login.broker);
  login.error = typeof url === "string" ? text.login[url] : checkPrefix(login.prefix) ? null : text.login.badPrefix;
  if (login.error === null) app.connect({ url: url.href, user: login.user, password: String(fields.get("password")), prefix: login.prefix });
  app.render();
}

function host(address) {
  try { return new URL(address).host; } catch { return address.slice(0, 80); }
}

export function loginView(app) {
  const { login } = app, words = text.login;
  return html`
    <main class="login">
      <form class="card" @submit=${(event) => submit(event, app)} autocomplete="on">
        <h1><span class="mark"></span>${words.title}</h1>
        <p class="quiet">${words.intro}</p>
        <label>${words.broker}
          <input name="broker" type="url" required maxlength="300" spellcheck="false" placeholder="wss://" .value=${live(login.broker)}
            aria-describedby="broker-hint">
        </label>
        <p class="quiet" id="broker-hint">${words.brokerHint}</p>
        ${login.fromLink && login.broker ? html`<p class="hint">${words.fromLink(host(login.broker))}</p>` : nothing}
        <div class="pair">
          <label>${words.user} <span class="quiet">${words.optional}</span>
            <input name="user" autocomplete="username" maxlength="200" spellcheck="false" .value=${live(login.user)}>
          </label>
          <label>${words.password} <span class="quiet">${words.optional}</span>
            <input name="password" type="password" autocomplete="current-password" maxlength="500">
          </label>
        </div>
        <label>${words.prefix}
          <input name="prefix" required maxlength="128" spellcheck="false" .value=${live(login.prefix)}>
        </label>
        <label class="check"><input type="checkbox" name="remember" ?checked=${login.remember}>${words.remember}</label>
        <p class="problem" role="alert">${login.error ?? ""}</p>
        <button class="primary" ?disabled=${login.busy}>${login.busy ? words.connecting : words.connect}</button>
      </form>
    </main>`;
}
