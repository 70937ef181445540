// Mooring's pages work without this module. It keeps them fresh and lets the keyboard walk through rows.
// Nothing that a server says is ever made into markup here: pages come whole from our own server, text goes in as text.

const SECTIONS = { h: "/ui/home", a: "/ui/ask", r: "/ui/runs", d: "/ui/documents", m: "/ui/models", k: "/ui/keys" };

// relative times ----------------------------------------------------------------------------------------------------

function ago(atUs) {
  const seconds = Math.floor((Date.now() * 1000 - atUs) / 1e6);
  if (seconds < 1) return "just now";
  for (const [limit, unit, name] of [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"]]) {
    if (seconds < limit) return `${Math.floor(seconds / unit)}\u202f${name} ago`;
  }
  return `${Math.floor(seconds / 86400)}\u202fd ago`;
}

setInterval(() => {
  for (const element of document.querySelectorAll("[data-ago]")) {
    const text = ago(Number(element.dataset.ago));
    if (element.textContent !== text) element.textContent = text;
  }
}, 5000);

// fresh pages -------------------------------------------------------------------------------------------------------

let isLoading = false;

async function refresh() {
  const old = document.querySelector("[data-live]");
  const isBusy = document.activeElement?.closest("main form") || String(getSelection()) !== "";
  if (!old || isLoading || isBusy || document.hidden) return;
  isLoading = true;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, redirect: "error" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("[data-live]") ?? page.querySelector("main > div");
    if (!fresh) return;
    const open = [...old.querySelectorAll("details[open]")].map((one) => one.closest("[id]")?.id);
    const focused = document.activeElement?.closest("a[href]")?.getAttribute("href");
    for (const id of open) if (id) fresh.querySelector(`#${CSS.escape(id)} details`)?.setAttribute("open", "");
    old.replaceWith(document.adoptNode(fresh));
    document.title = page.title;
    if (focused) document.querySelector(`main a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    at = -1;
  } finally {
    isLoading = false;
  }
}

const live = document.querySelector("[data-live]");
if (live?.dataset.events) {
  let due = 0;
  const source = new EventSource(live.dataset.events);
  const soon = () => {
    clearTimeout(due);
    due = setTimeout(refresh, 150);
  };
  for (const kind of ["run.started", "model.finished", "tool.started", "tool.finished", "tool.rejected", "run.parked",
    "run.finished", "code.changed", "step.finished", "output.rejected", "limit.reached"]) {
    source.addEventListener(kind, soon);
  }
  source.addEventListener("text.delta", (event) => {
    const bubble = document.querySelector("[data-provisional]");
    if (!bubble) return;
    bubble.hidden = false;
    bubble.querySelector(".text").textContent += JSON.parse(event.data).payload.text;
  });
  source.addEventListener("end", () => {
    source.close();
    soon();
  });
} else if (live) {
  setInterval(refresh, Number(live.dataset.live) * 1000);
}

// keyboard ----------------------------------------------------------------------------------------------------------

let at = -1;
let isGoing = false;

function walk(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  rows[at]?.classList.remove("at");
  at = Math.min(Math.max(at + step, 0), rows.length - 1);
  rows[at].classList.add("at");
  rows[at].scrollIntoView({ block: "nearest" });
  rows[at].querySelector("a[href], summary")?.focus({ preventScroll: true });
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  if (isGoing && SECTIONS[event.key]) location.assign(SECTIONS[event.key]);
  else if (event.key === "j") walk(1);
  else if (event.key === "k") walk(-1);
  isGoing = event.key === "g";
});

// forms -------------------------------------------------------------------------------------------------------------

for (const form of document.querySelectorAll("form[data-auto]")) {
  form.addEventListener("change", () => form.requestSubmit());
}

addEventListener("submit", (event) => {
  const button = event.submitter;
  if (button?.dataset.confirm && !confirm(button.dataset.confirm)) {
    event.preventDefault();
    return;
  }
  if (event.target.dataset.stream && button && window.TextDecoderStream) {
    event.preventDefault();
    if (asking) asking.abort();
    else ask(event.target, button);
    return;
  }
  // After the form's data was taken: a disabled button's value would not be sent.
  if (event.target.method === "post" && button) {
    setTimeout(() => {
      button.disabled = true;
      if (button.dataset.busy) button.textContent = button.dataset.busy;
    });
  }
});

addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("button:disabled")) button.disabled = false;
});

document.addEventListener("keydown", (event) => {
  if (event.target.id === "question" && event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    event.target.form.requestSubmit(event.target.form.querySelector("button"));
  }
});

// an answer as it is said -------------------------------------------------------------------------------------------

let asking = null;

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

async function* serverEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", part = await reader.read(); !part.done; part = await reader.read()) {
    const events = (rest + part.value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const [name, data] = event.split("\n");
      yield [name.slice("event: ".length), JSON.parse(data.slice("data: ".length))];
    }
  }
}

// Puts the page of an address in the place of this one; the address can then be shared, and Back goes back.
async function show(href) {
  const answer = await fetch(href, { headers: { accept: "text/html" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const isTyping = document.activeElement?.id === "question";
  document.querySelector("main").replaceWith(document.adoptNode(page.querySelector("main")));
  document.querySelector(".foot").replaceWith(document.adoptNode(page.querySelector(".foot")));
  document.title = page.title;
  history.pushState(null, "", href);
  at = -1;
  if (isTyping) document.querySelector("#question")?.focus({ preventScroll: true });
}

function problem(text, href) {
  const told = element("p", "alert bad", text);
  told.setAttribute("role", "alert");
  if (href) {
    const link = element("a", "", "What is known of it");
    link.href = href;
    told.append(" ", link);
  }
  return told;
}

async function ask(form, button) {
  const place = document.querySelector("#answer");
  const article = element("article", "answer running");
  const state = element("p", "dim state-line", "Searching…");
  const said = element("p", "text said");
  article.append(state, said);
  place.replaceChildren(article);
  const stop = new AbortController();
  let href = "";
  asking = stop;
  button.textContent = "Stop";
  try {
    const body = new URLSearchParams(new FormData(form));
    const reply = await fetch(form.dataset.stream, { method: "POST", body, signal: stop.signal });
    if (!reply.ok) {
      const { error } = await reply.json();
      article.replaceChildren(problem(error.message));
      return;
    }
    for await (const [name, data] of serverEvents(reply.body)) {
      if (name === "found") {
        href = data.href;
        const count = data.passages.length;
        state.textContent = count ? `${count} passage${count === 1 ? "" : "s"} found. Answering…` : "Nothing found.";
      } else if (name === "text") {
        said.textContent += data.text;
      } else if (name === "failed") {
        article.append(problem(data.message, data.href));
        state.remove();
      } else if (name === "end") {
        await show(data.href);
        return;
      }
    }
  } catch (error) {
    if (asking !== stop || stop.signal.aborted) state.textContent = "Stopped.";
    else article.append(problem("The connection was lost before the end.", href));
  } finally {
    if (asking === stop) asking = null;
    article.classList.remove("running");
    button.textContent = "Ask";
    button.disabled = false;
  }
}

addEventListener("popstate", () => location.reload());
