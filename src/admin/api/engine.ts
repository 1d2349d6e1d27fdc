/** Zod, set up for a daemon: without `jitless` it compiles validators with `new Function`, which we do not allow. */
import { z } from "zod";

z.config({ jitless: true });

export { z };
