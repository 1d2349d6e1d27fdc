/** Phrases that several translations share. */
export const REPRIS = "il partira ensuite de lui-même, ou tout de suite avec postern queue release --from SENDER";
export const SERVICE = "Patientez ; voir Microsoft 365 admin center > Health > Service health";
export const RESTREINT = "Microsoft Defender > Email & collaboration > Review > Restricted entities";
export const UN_JOUR =
  "La limite se libère d'elle-même en un jour et le courrier part alors. Pour de tels volumes, utilisez un connecteur, High Volume Email ou Azure Communication Services";
export const TROUVER = "Trouvez l'appareil qui l'a envoyé (postern queue list)";
