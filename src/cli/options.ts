/** The options that every command has. */

/** What every command gets. */
export interface GlobalOptions {
  /** Path of the configuration file. */
  readonly config: string;
  /** Print JSON instead of text. */
  readonly json: boolean;
}
