/** Cause and remedy of one row in French. */
export type Translation = readonly [cause: string, remedy: string];
