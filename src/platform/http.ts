/**
 * Node's own HTTP, without what an `import` of it brings along: among the names of `node:http` are WebSocket and its kin, and to list them Node compiles
 * a whole client of the web. That is 30 ms and some MB for each process, of which neither the daemon nor a command uses anything.
 */
export const { createServer, request, STATUS_CODES } = process.getBuiltinModule("node:http");
