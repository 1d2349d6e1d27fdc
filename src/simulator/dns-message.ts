/** DNS messages on the wire (RFC 1035): a question in, an answer out. Nothing but what a server of one small zone needs. */
import { Buffer } from "node:buffer";

/** Types that are answered, by number. */
export const TYPES: Readonly<Record<number, string>> = {
  1: "A",
  2: "NS",
  5: "CNAME",
  6: "SOA",
  12: "PTR",
  15: "MX",
  16: "TXT",
  28: "AAAA",
};
const NUMBERS = new Map(Object.entries(TYPES).map(([number, name]) => [name, Number(number)]));
const OPT = 41;

export const CODES = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
export type Code = keyof typeof CODES;

/** What is asked. */
export interface Question {
  readonly id: number;
  /** Lower case, without the dot at its end. */
  readonly name: string;
  /** As asked: the answer repeats it, in the case it came in. */
  readonly rawName: Buffer;
  readonly type: number;
  readonly wantsRecursion: boolean;
  /** Octets that the client takes over UDP; 512 where it did not say (RFC 6891). */
  readonly udpSize: number;
  readonly hasOptions: boolean;
  readonly code: "NOERROR" | "NOTIMP";
}

/** A record of an answer; `data` in the form of a zone file. */
export interface ResourceRecord {
  readonly name: string;
  readonly type: string;
  readonly ttl: number;
  readonly data: string;
}

/** An answer to one question. */
export interface Answer {
  readonly code: Code;
  readonly answers: readonly ResourceRecord[];
  readonly authority: readonly ResourceRecord[];
  readonly additional: readonly ResourceRecord[];
}

/** Reads a query; undefined when it is none. */
export function readQuestion(message: Buffer): Question | undefined {
  if (message.length < 17) return undefined;
  const flags = message.readUInt16BE(2);
  if ((flags & 0x8000) !== 0 || message.readUInt16BE(4) !== 1) return undefined;
  const labels: string[] = [];
  let at = 12;
  for (;;) {
    const length = message[at];
    if (length === undefined || length > 63 || at + length + 1 > message.length || at > 12 + 254) return undefined;
    at += 1;
    if (length === 0) break;
    labels.push(message.toString("latin1", at, at + length));
    at += length;
  }
  if (at + 4 > message.length) return undefined;
  const rawName = message.subarray(12, at);
  const type = message.readUInt16BE(at);
  const options = at + 4;
  const hasOptions =
    message.readUInt16BE(10) > 0 && message[options] === 0 && options + 5 <= message.length && message.readUInt16BE(options + 1) === OPT;
  return {
    id: message.readUInt16BE(0),
    name: labels.join(".").toLowerCase(),
    rawName,
    type,
    wantsRecursion: (flags & 0x0100) !== 0,
    udpSize: hasOptions ? Math.min(4096, Math.max(512, message.readUInt16BE(options + 3))) : 512,
    hasOptions,
    code: ((flags >> 11) & 15) === 0 ? "NOERROR" : "NOTIMP",
  };
}

/**
 * Writes the answer.
 *
 * @param maxBytes - beyond it, only the question goes back, marked as truncated, so that the client asks over TCP
 */
export function writeAnswer(question: Question, answer: Answer, maxBytes = 65_535): Buffer {
  const sections = [answer.answers, answer.authority, answer.additional].map((records) => records.map(writeRecord));
  const whole = assemble(question, answer.code, sections, false);
  return whole.length <= maxBytes ? whole : assemble(question, answer.code, [[], [], []], true);
}

function assemble(question: Question, code: Code, sections: readonly (readonly Buffer[])[], truncated: boolean): Buffer {
  const [answers = [], authority = [], additional = []] = sections;
  const header = Buffer.alloc(12);
  header.writeUInt16BE(question.id, 0);
  // An authoritative answer of a server that looks everything up that it is asked.
  header.writeUInt16BE(0x8480 | (question.wantsRecursion ? 0x0100 : 0) | (truncated ? 0x0200 : 0) | CODES[code], 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers.length, 6);
  header.writeUInt16BE(authority.length, 8);
  header.writeUInt16BE(additional.length + (question.hasOptions ? 1 : 0), 10);
  const asked = Buffer.alloc(4);
  asked.writeUInt16BE(question.type, 0);
  asked.writeUInt16BE(1, 2);
  const options = question.hasOptions ? [Buffer.from([0, 0, OPT, 4, 208, 0, 0, 0, 0, 0, 0])] : [];
  return Buffer.concat([header, question.rawName, asked, ...answers, ...authority, ...additional, ...options]);
}

function writeName(name: string): Buffer {
  const labels = name.split(".").filter((label) => label !== "");
  return Buffer.concat([
    ...labels.flatMap((label) => [Buffer.from([Math.min(63, label.length)]), Buffer.from(label.slice(0, 63), "latin1")]),
    Buffer.alloc(1),
  ]);
}

function writeRecord(record: ResourceRecord): Buffer {
  const data = writeData(record.type, record.data);
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(NUMBERS.get(record.type) ?? 0, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt32BE(record.ttl, 4);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([writeName(record.name), fixed, data]);
}

function writeData(type: string, data: string): Buffer {
  switch (type) {
    case "A":
      return Buffer.from(data.split(".").map(Number));
    case "AAAA":
      return writeAddress6(data);
    case "MX": {
      const [preference = "0", host = ""] = data.split(" ");
      const number = Buffer.alloc(2);
      number.writeUInt16BE(Number(preference));
      return Buffer.concat([number, writeName(host)]);
    }
    case "TXT": {
      const pieces = data.match(/[\s\S]{1,255}/g) ?? [""];
      return Buffer.concat(pieces.flatMap((piece) => [Buffer.from([piece.length]), Buffer.from(piece, "latin1")]));
    }
    case "SOA": {
      const [host = "", mail = "", ...numbers] = data.split(" ");
      const figures = Buffer.alloc(20);
      for (const [index, number] of numbers.slice(0, 5).entries()) figures.writeUInt32BE(Number(number), index * 4);
      return Buffer.concat([writeName(host), writeName(mail), figures]);
    }
    default:
      return writeName(data);
  }
}

function writeAddress6(address: string): Buffer {
  const [head = "", tail] = address.split("::");
  const groups = (text: string): number[] => (text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16)));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const all = [...front, ...Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => 0), ...back];
  const octets = Buffer.alloc(16);
  for (const [index, group] of all.slice(0, 8).entries()) octets.writeUInt16BE(group, index * 2);
  return octets;
}
