/** The options that every command has. */

export const DEFAULT_CONFIG = "/etc/postern/postern.yaml";

/** What every command gets. */
export interface GlobalOptions {
  /** Path of the configuration file. */
  readonly config: string;
  /** Print JSON instead of text. */
  readonly json: boolean;
}
