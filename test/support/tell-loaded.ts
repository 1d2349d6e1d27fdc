/** Preloaded (`--import`): says on standard error which packages a process loads, as `loaded PID PACKAGE`. */
import { registerHooks } from "node:module";
import { writeSync } from "node:fs";

registerHooks({
  load(url, context, next) {
    const [, name] = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url) ?? [];
    if (name !== undefined) writeSync(2, `loaded ${process.pid} ${name}\n`);
    return next(url, context);
  },
});
