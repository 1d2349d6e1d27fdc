/** Certificates for tests: the same that `certs/make-dev-certs.ts` makes for people. */
export { makeDevCertificates, writeDevCertificates, type DevCertificates } from "../../certs/make-dev-certs.ts";
