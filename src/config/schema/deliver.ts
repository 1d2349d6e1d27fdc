/** What happens to mail between the doors: routes, schedule, reports, storage. */
import { z } from "./engine.ts";
import { about, boolean, duration, expected, listOf, name, oneOf, orWord, pattern, size } from "./fields.ts";
import { messageSize } from "./receive.ts";

const Route = z.strictObject({
  name: about(name(), { description: "Name of the route in logs and explanations.", apply: "reload" }),
  match: about(
    z
      .strictObject({
        client: about(listOf(name()).optional(), { description: "Names of clients.", apply: "reload" }),
        user: about(listOf(name()).optional(), { description: "Names of users that signed in.", apply: "reload" }),
        sender: about(listOf(pattern()).optional(), { description: "Patterns of the envelope's sender.", apply: "reload" }),
        recipients: about(listOf(pattern()).optional(), {
          description: "Patterns of the recipient.",
          samples: ["external"],
          apply: "reload",
        }),
        min_size: about(messageSize().optional(), {
          description: "Only messages of this size or more.",
          samples: ["2MiB"],
          apply: "reload",
        }),
      })
      .optional(),
    {
      description: "What must fit, all of it. Exactly one route, the last, has none and takes the rest.",
      default_text: "takes everything",
      apply: "reload",
    },
  ),
  via: about(listOf(name()), {
    description:
      "Upstreams in order. The first that fits a recipient and is open takes it; the others follow when that one is closed, refuses the message, or puts it off for longer than retry.fallback_after.",
    samples: [["scans"], ["scans", "graph"]],
    apply: "reload",
  }),
  spread: about(boolean().prefault(false), {
    description:
      "Shares the mail over all upstreams of via that are open, by what is left of their budgets, instead of taking the first. Several mailboxes look like one sender when their sender.address is the same.",
    apply: "reload",
  }),
  spill: about(boolean().prefault(false), {
    description: "When the budget of an upstream is used up, the next one takes the mail instead of letting it wait.",
    apply: "reload",
  }),
});

export const Routes = about(
  z.array(about(Route, { description: "An ordered rule; the first that fits a recipient decides." }), {
    error: () => expected("a list of routes"),
  }),
  {
    description: "From whom and to whom by which upstream. The first match per recipient counts; one message may split.",
    apply: "reload",
  },
);

const factorExpected = expected("a number from 1 to 10");

export const Retry = z.strictObject({
  first: about(duration("1s", "1d").prefault("1m"), { description: "Wait before the second attempt.", apply: "reload" }),
  factor: about(
    z
      .number({ error: () => factorExpected })
      .min(1, { error: () => factorExpected })
      .max(10, { error: () => factorExpected })
      .meta({ kind: "number" })
      .prefault(2),
    { description: "Each wait is this many times the one before.", apply: "reload" },
  ),
  max: about(duration("1s", "1d").prefault("30m"), { description: "Longest wait between attempts.", apply: "reload" }),
  fallback_after: about(duration("1s", "7d").prefault("15m"), {
    description: "An upstream that only gives temporary answers for so long hands a recipient on to the next one of its route.",
    apply: "reload",
  }),
  expire_after: about(duration("1m", "365d").prefault("5d"), {
    description: "Undelivered for so long: the sender gets a report (RFC 5321 section 4.5.4.1).",
    apply: "reload",
  }),
  warn_after: about(duration("1m", "365d").prefault("4h"), {
    description:
      "Undelivered for so long: the sender is told once that the message is late, at the next attempt. Time in which it is held does not count.",
    apply: "reload",
  }),
});

export const Hold = z.strictObject({
  expire_after: about(oneOf(["never"]).prefault("never"), {
    description: "Mail that is held never expires, and its held time does not count for retry.expire_after.",
    apply: "reload",
  }),
});

export const Bounces = z.strictObject({
  to: about(oneOf(["sender", "postmaster", "both"]).prefault("both"), {
    description:
      "Who gets the report about mail that could not be delivered. Senders only when they are internal; the warning that mail is late goes to one of the two.",
    apply: "reload",
  }),
  language: about(oneOf(["en", "fr"]).prefault("en"), {
    description:
      "Language of reports, for people; the part for machines and the answers of mail servers stay as they are. Alerts are in English.",
    apply: "reload",
  }),
});

export const Queue = z.strictObject({
  min_free: about(size("1MiB", "100TiB").prefault("512MiB"), {
    description:
      "With less free space on the disk of data_dir new mail is refused for the moment (452). Never under three times the largest max_message_size.",
    apply: "reload",
  }),
  max_size: about(orWord("none", size("1MiB", "100TiB")).prefault("none"), {
    description: "With more mail waiting than this, new mail is refused for the moment (452).",
    apply: "reload",
  }),
});

export const History = z.strictObject({
  keep: about(duration("1h", "3650d").prefault("30d"), {
    description:
      "How long it can be looked up what happened to a message. Where an upstream has a limit by the hour or day, at least 25 h are kept: what is used of it is counted from there after a restart.",
    apply: "reload",
  }),
  failed_content: about(orWord("none", duration("1h", "365d")).prefault("7d"), {
    description:
      "How long the content of mail that somebody did not get (bounced, expired) stays, so that postern queue export can bring it back; at most as long as keep. It goes earlier where new mail needs the room. Content of delivered and of deleted mail is deleted at once.",
    apply: "reload",
  }),
});
