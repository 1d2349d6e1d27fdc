/**
 * The classes of smtp-server that the session builds on, from its CommonJS half: the other one takes nodemailer's, and that imports node:http with all that
 * platform/http.ts tells of. What we use of their insides is pinned by adapter.contract.test.ts.
 */
import { createRequire } from "node:module";
import type * as server from "smtp-server";
import type * as connection from "smtp-server/lib/smtp-connection";
import type * as stream from "smtp-server/lib/smtp-stream";

const load = createRequire(import.meta.url);

export const { SMTPServer } = load("smtp-server") as typeof server;
export type SMTPServer = server.SMTPServer;
export const { SMTPConnection } = load("smtp-server/lib/smtp-connection") as typeof connection;
export type SMTPConnection = connection.SMTPConnection;
export const { SMTPStream } = load("smtp-server/lib/smtp-stream") as typeof stream;
export type SMTPStream = stream.SMTPStream;
