/** Pages of the view where something is switched: faults, and users who sign in. */
import type { FaultAction } from "./fault-model.ts";
import { FAULTS } from "./fault-table.ts";
import { scopeWords } from "./scopes.ts";
import { escape, layout, rowButton, table, time } from "./view-html.ts";
import type { PageContext } from "./view-html.ts";

function answer(action: FaultAction): string {
  switch (action.kind) {
    case "reply":
      return `<code>${escape(action.text)}</code>`;
    case "graph":
      return `<code>${action.status} ${escape(action.code)}</code> ${escape(action.text)}`;
    case "aadsts":
      return `<code>AADSTS${action.code}</code>`;
    case "http":
      return `HTTP ${action.status}`;
    case "delay":
      return `${action.ms / 1000} s later`;
    case "omit":
      return `without ${escape(action.keyword)}`;
    case "hold":
      return "no answer until cleared";
    default:
      return "connection reset";
  }
}

/** `once`, `3 times`. */
function often(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}

/**
 * The faults that are on, and a switch for each there is.
 *
 * @param find - words in the search field, which the script of the page applies
 */
export function renderFaults(context: PageContext, find = ""): string {
  const active = context.faults.active().map(({ id, definition, scope, applied, remaining }) => {
    const where = [scope.host, scope.mailbox, scope.recipient].filter((part) => part !== undefined).join(", ");
    return [
      `<b>${escape(definition.name)}</b>`,
      remaining === undefined ? "until cleared" : `${often(remaining)} more`,
      escape(where),
      often(applied),
      rowButton(`data-clear="${escape(id)}"`, "clear", definition.name),
    ];
  });
  const switches = FAULTS.map(({ name, meaning, stage, hosts, recipient, action }) => [
    `<b>${escape(name)}</b><br>${escape(meaning)}`,
    `${escape(hosts.join(", "))}<br><small>${stage}</small>`,
    recipient === undefined ? "" : `<code>${escape(recipient)}@</code>`,
    answer(action),
    `${rowButton(`data-fault="${name}" data-count="1"`, "once", name)} ${rowButton(`data-fault="${name}"`, "on", name)}`,
  ]);
  return layout(
    context,
    "/faults",
    "Faults",
    `<h1>Faults</h1>
<h2>On (${active.length})</h2>
${table(["fault", "left", "only for", "applied", ""], active, "None is on.")}
<h2>Switches (<span id="found" aria-live="polite">${FAULTS.length}</span>)</h2>
<p><label>Find <input id="find" type="search" value="${escape(find)}" placeholder="graph, 5.7.64, AADSTS7000222, mailbox full" autocomplete="off"></label></p>
<p id="nothing" class="none" hidden>Nothing found.</p>
<div id="switches">${table(["fault", "host, stage", "recipient", "answer", ""], switches, "")}</div>`,
  );
}

/** Users who are asked to sign in, and those who did. `isLogin`: the page that a client sends its user to. */
export function renderSignIns(context: PageContext, isLogin: boolean): string {
  const { signIns, tenant } = context;
  const users = `<select aria-label="user">${tenant.mailboxes.map(({ address }) => `<option>${escape(address)}</option>`).join("")}</select>`;
  const buttonsFor = (code: string): string => ["approve", "decline"].map((act) => rowButton(`data-decide="${act}"`, act, code)).join(" ");
  const waiting = signIns
    .waiting()
    .map(({ userCode, app, scope, expiresAt }) => [
      `<code class="code">${userCode}</code>`,
      `<b>${escape(app.name)}</b><br><small>${escape(app.clientId)}</small>`,
      escape(scopeWords(scope)),
      time(expiresAt),
      `<span class="decision" data-code="${userCode}">${users} ${buttonsFor(userCode)}</span>`,
    ]);
  const signedIn = signIns
    .signIns()
    .map(({ grant, issuedAt, usedAt }) => [
      escape(grant.user),
      escape(grant.app.name),
      escape(scopeWords(grant.scope)),
      time(issuedAt),
      time(usedAt),
      rowButton(`data-revoke="${escape(grant.user)}"`, "revoke", grant.user),
    ]);
  const login = `<h1>Enter the code</h1>
<p>A program asked you to sign in here. Type the code that it shows, choose who you are, and let it in, or not.</p>
<p class="decision"><label>Code <input class="code" maxlength="12" autocomplete="off" spellcheck="false" autofocus></label> ${users} ${buttonsFor("the code above")}</p>`;
  return layout(
    context,
    "/sign-ins",
    isLogin ? "Enter the code" : "Sign-ins",
    `${isLogin ? login : "<h1>Sign-ins</h1>"}
<h2>Waiting for a user</h2>
${table(["code", "app", "wants", "until", ""], waiting, "No device code is waiting.")}
<h2>Signed in</h2>
${table(["user", "app", "may", "newest refresh token", "used", ""], signedIn, "No user has let an app stay signed in.")}
<p>Revoking is what a password reset does: the refresh tokens end, access tokens live out their hour.</p>`,
  );
}
