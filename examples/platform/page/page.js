// The page: one editor, three actions, bars that come by server-sent events, and a table of decisions.
// Whatever comes from the server is text, never markup: it is put in by `textContent` alone.

const token = document.querySelector('meta[name="token"]').content;
const $ = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("button[data-action]")];
const BACK_AFTER = 2000; // milliseconds until a stream that ended is opened again

async function call(path, body) {
  const answer = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers: { "x-platform-token": token, ...(body === undefined ? {} : { "content-type": "application/json" }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return answer.json();
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = String(text);
  if (className) made.className = className;
  return made;
}

function rows(table, lists) {
  const body = table.querySelector("tbody");
  body.replaceChildren(...lists.map((list) => {
    const row = element("tr");
    row.append(...list.map((cell) => element("td", cell)));
    return row;
  }));
  table.hidden = lists.length === 0;
}

function say(text, className) {
  $("answer").replaceChildren(element("p", text, className));
}

function complain(error) {
  const paragraph = element("p", undefined, "bad");
  const hint = error.hint && error.message.includes(error.hint) ? null : error.hint;
  paragraph.append(element("span", error.message));
  if (hint) paragraph.append(element("span", hint, "remedy"));
  $("answer").replaceChildren(paragraph);
}

const shows = {
  check(answer) {
    say(answer.ok ? "Everything that the script needs is here, or comes when it is imported."
      : `Not here: ${answer.missing.join(", ")}. Ask whoever keeps this tenant's requirements.`, answer.ok ? "good" : "bad");
    const shown = answer.needs.filter((need) => need.state !== "standard");
    rows($("needs"), shown.map((need) => [need.lines.join(", "), need.import, need.distribution, need.state]));
  },
  install(answer) {
    const size = `${(answer.bytes / 1e6).toFixed(1)} MB`;
    say(answer.names.length ? `Installed: ${answer.names.join(", ")} (${size} downloaded).` : "There was nothing to install.", "good");
  },
  run(answer) {
    const ended = answer.limit ? `ended by its limit: ${answer.limit}` : `ended with status ${answer.status}`;
    say(`The script ${ended}.`, answer.status === 0 ? "good" : "bad");
  },
};

async function act(action) {
  const focused = document.activeElement;
  buttons.forEach((button) => { button.disabled = true; });
  $("output").hidden = action !== "run";
  $("output").textContent = "";
  $("needs").hidden = true;
  say(`${action[0].toUpperCase()}${action.slice(1)}…`);
  try {
    const answer = await call(`/api/${action}`, { tenant: $("tenant").value, script: $("script").value });
    if (answer.error) complain(answer.error); else shows[action](answer);
    if (answer.output !== undefined) $("output").textContent = answer.output;
  } catch (error) {
    complain({ message: "The server cannot be reached.", hint: "Look whether it still runs." });
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
    // A button loses the focus when it is disabled; who works by keyboard goes on where they were.
    if (document.activeElement === document.body) focused.focus();
    clearBars();
    await audit();
  }
}

async function audit() {
  const answer = await call(`/api/audit?tenant=${encodeURIComponent($("tenant").value)}`);
  rows($("audit"), (answer.decisions ?? []).map((line) =>
    [line.time, line.import, [line.distribution, line.version].filter(Boolean).join(" "), line.decision, line.rule ?? line.error]));
  $("audit").hidden = false;
}

// One bar for each module; it goes when the module is there.
const bars = new Map();
window.addEventListener("module-download-progress", ({ detail }) => {
  let bar = bars.get(detail.module);
  if (!bar) {
    const progress = element("progress");
    progress.max = 100;
    progress.setAttribute("aria-label", detail.module);
    bar = element("div", undefined, "bar");
    bar.append(element("span", detail.module), progress, element("span"));
    bars.set(detail.module, bar);
    $("bars").append(bar);
  }
  bar.children[1].value = detail.percentage;
  bar.children[2].textContent = `${Math.floor(detail.percentage)} %`;
  if (detail.percentage >= 100) {
    bars.delete(detail.module);
    bar.remove();
  }
});

function clearBars() {
  bars.forEach((bar) => bar.remove());
  bars.clear();
}

const heard = {
  "module-download-progress": (detail) => window.dispatchEvent(new CustomEvent("module-download-progress", { detail })),
  "script-output": (detail) => { $("output").textContent += detail.text; },
};

// EventSource cannot send a token, so the stream is read by hand: `event:` and `data:` lines, an empty line ends one.
async function listen(tenant, signal) {
  const answer = await fetch(`/api/events?tenant=${encodeURIComponent(tenant)}`,
    { headers: { "x-platform-token": token }, signal });
  if (!answer.ok) {
    complain((await answer.json()).error);
    return;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const lines = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s).slice(0, 2)));
      heard[lines.event]?.(JSON.parse(lines.data));
    }
  }
}

let listening = new AbortController();
async function follow() {
  listening.abort();
  const mine = listening = new AbortController();
  clearBars();
  await audit();
  while (!mine.signal.aborted) {
    await listen($("tenant").value, mine.signal).catch(() => {});
    await new Promise((resolve) => { setTimeout(resolve, BACK_AFTER); });
  }
}

const { tenants, example } = await call("/api/tenants");
$("tenant").append(...tenants.map((name) => element("option", name)));
$("script").value = example;
$("tenant").addEventListener("change", follow);
buttons.forEach((button) => button.addEventListener("click", () => act(button.dataset.action)));
$("script").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !buttons[0].disabled) act("run");
});
follow();
document.documentElement.dataset.ready = "true";
