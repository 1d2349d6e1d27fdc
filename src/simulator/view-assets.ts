/** Style and script of the pages, served from the same host: the policy of the pages allows nothing else. */

export const PAGE_STYLE = `:root{color-scheme:light dark;--ink:#1c2126;--soft:#5a6570;--line:#dfe3e8;--paper:#fff;--tint:#f4f6f8;--link:#0b5cad;--warn:#8a4b00;--warnback:#fff1dc}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa5b1;--line:#3a424b;--paper:#16191d;--tint:#20252b;--link:#7db8f5;--warn:#ffc37a;--warnback:#3d2d16}}
*{box-sizing:border-box}body{font:15px/1.45 system-ui,sans-serif;margin:0;color:var(--ink);background:var(--paper)}
header{display:flex;flex-wrap:wrap;gap:.4rem 1.5rem;align-items:center;padding:.7rem 1.25rem;background:var(--tint);border-bottom:1px solid var(--line)}
.home{font-weight:600;color:inherit;text-decoration:none}nav{display:flex;gap:1.1rem}nav a[aria-current]{color:inherit;font-weight:600;text-decoration-thickness:2px;text-underline-offset:.3em}.clock{display:flex;flex-wrap:wrap;gap:.3rem .7rem;align-items:center;margin-left:auto;color:var(--soft);font-variant-numeric:tabular-nums}
main{max-width:82rem;margin:0 auto;padding:.5rem 1.25rem 3rem}.lead,.none,small{color:var(--soft)}h1{font-size:1.45rem;overflow-wrap:anywhere}h2{font-size:1.1rem;margin:1.8rem 0 .5rem}
a{color:var(--link)}.wide{overflow-x:auto}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.4rem .7rem .4rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{color:var(--soft);font-weight:500;font-size:.88em;overflow-wrap:normal}td time{white-space:nowrap;font-variant-numeric:tabular-nums}
code,pre{font:.87em/1.4 ui-monospace,monospace;overflow-wrap:anywhere}pre{white-space:pre-wrap;background:var(--tint);border:1px solid var(--line);border-radius:6px;padding:.8rem;max-height:30rem;overflow:auto}
button,input,select{font:inherit;font-size:.9em;padding:.15rem .55rem;border:1px solid var(--line);border-radius:5px;background:var(--paper);color:inherit}button{cursor:pointer}button:hover{border-color:var(--link)}
input[type=search]{width:min(32rem,80vw);padding:.35rem .6rem}.code{font-family:ui-monospace,monospace;letter-spacing:.12em;text-transform:uppercase}
.doors{display:flex;flex-wrap:wrap;gap:.5rem}.door{padding:.35rem .8rem;border:1px solid var(--line);border-radius:6px;text-decoration:none;color:inherit}.door[aria-current]{border-color:var(--link);background:var(--tint)}
.badge{display:inline-block;padding:.05rem .5rem;border-radius:1rem;font-size:.84em;white-space:nowrap;background:#dbe7f5;color:#123a63}.badge.graph{background:#e3dbf7;color:#3b1d78}.badge.connector{background:#d8f0df;color:#124d27}
.badge.direct-send{background:#fdebc8;color:#5f3d00}.badge.hve{background:#fbdce4;color:#6d1230}.badge.acs{background:#d5f0f2;color:#0b4a50}
.mark{padding:.05rem .4rem;border-radius:4px;font-size:.84em;color:var(--warn);background:var(--warnback)}.count{padding:0 .4rem;border-radius:1rem;font-size:.8em;background:#b3261e;color:#fff}
#problem{padding:.5rem .8rem;border-radius:6px;color:var(--warn);background:var(--warnback)}td:has(>button),td:has(>.decision),td .code{white-space:nowrap}
td[data-head="fault"]{min-width:14rem}td:is([data-head="from"],[data-head="to"]){min-width:8.5rem}td[data-head="subject"]{min-width:12rem}td:is([data-head="host, stage"],[data-head="signed in as"]){min-width:7.5rem}
td[data-head="size"]{white-space:nowrap}table:not(.cards) td:first-child{overflow-wrap:break-word}.count{display:inline-block;line-height:1.3}
@media(max-width:50rem){.clock{margin-left:0}.cards thead{display:none}.cards,.cards tbody,.cards tr,.cards td{display:block}
.cards tr:not([hidden]){display:flex;flex-direction:column;padding:.7rem 0;border-bottom:1px solid var(--line)}.cards tr[hidden],.cards td:empty{display:none}
.cards td{position:relative;min-width:0;padding:.1rem 0 .1rem 7rem;border:0}.cards td::before{content:attr(data-head);position:absolute;left:0;color:var(--soft);font-size:.88em}
.cards td:is([data-head=""],[data-head="fault"],[data-head="subject"],[data-head="address"]){padding-left:0}.cards td:is([data-head="fault"],[data-head="subject"],[data-head="address"])::before{content:none}
.cards td[data-head="subject"]{order:-1;font-weight:600}.cards td[data-head=""]{padding-top:.4rem}.cards td:has(>.decision){white-space:normal}
.cards button{padding:.4rem 1rem}}
`;

export const PAGE_SCRIPT = `const problem = document.getElementById("problem");
const ask = async (method, path, body) => {
  const headers = { "content-type": "application/json" };
  try {
    const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    return answer.ok ? undefined : (await answer.json()).error;
  } catch {
    return "The stand-in does not answer: nothing was changed. Is it still running?";
  }
};
const send = async (button, method, path, body) => {
  const wrong = await ask(method, path, body);
  if (wrong === undefined) return reloadHere(button);
  problem.textContent = wrong;
  problem.hidden = false;
  problem.scrollIntoView({ block: "nearest" });
};
// What was clicked stays where it is on the screen, although there may be more above it afterwards.
const sameButton = ({ fault, count }) =>
  fault === undefined ? undefined : [...document.querySelectorAll("[data-fault]")].find(({ dataset }) => dataset.fault === fault && dataset.count === count);
const reloadHere = (button) => {
  const { fault, count } = button.dataset;
  sessionStorage.setItem("place", JSON.stringify({ path: location.pathname, y: scrollY, top: button.getBoundingClientRect().top, fault, count }));
  history.scrollRestoration = "manual";
  location.reload();
};
document.addEventListener("click", ({ target }) => {
  const { fault, count, clear, reset, advance, decide, revoke } = target.dataset ?? {};
  if (fault !== undefined) send(target, "POST", "/api/faults", count === undefined ? { name: fault } : { name: fault, count: Number(count) });
  if (clear !== undefined) send(target, "DELETE", "/api/faults/" + encodeURIComponent(clear));
  if (reset !== undefined) send(target, "POST", "/api/reset", {});
  if (advance !== undefined) send(target, "POST", "/api/clock", { advance });
  if (revoke !== undefined) send(target, "POST", "/api/revoke", { user: revoke });
  if (decide !== undefined) {
    const decision = target.closest(".decision");
    const code = decision.dataset.code ?? decision.querySelector("input").value;
    send(target, "POST", "/api/device", { user_code: code, user: decision.querySelector("select").value, action: decide });
  }
});
// Words that are looked for stand in the address too: they outlast the next click.
const find = document.getElementById("find");
const filter = () => {
  const words = find.value.toLowerCase().split(/\\s+/);
  const switches = document.getElementById("switches");
  const rows = [...switches.querySelectorAll("tbody tr")];
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  const found = rows.filter((row) => !row.hidden).length;
  switches.hidden = found === 0;
  document.getElementById("nothing").hidden = found > 0;
  document.getElementById("found").textContent = found === rows.length ? String(found) : found + " of " + rows.length;
};
find?.addEventListener("input", () => {
  filter();
  history.replaceState(null, "", find.value === "" ? location.pathname : "?find=" + encodeURIComponent(find.value));
});
if (find) filter();
const place = JSON.parse(sessionStorage.getItem("place") ?? "null");
sessionStorage.removeItem("place");
if (place?.path === location.pathname) {
  scrollTo(0, place.y);
  const button = sameButton(place);
  if (button) scrollBy(0, button.getBoundingClientRect().top - place.top);
  button?.focus({ preventScroll: true });
}
// Not before the browser has done with the place that it remembers.
addEventListener("load", () => setTimeout(() => (history.scrollRestoration = "auto")));
`;
