/** Answers about the sign-in, the sender and limits. */
import { REPRIS, RESTREINT, SERVICE, TROUVER, UN_JOUR } from "./phrases.ts";
import type { Translation } from "./translation.ts";

const OAUTH = "Utilisez OAuth : donnez à l'upstream un credential de type client-secret ou client-certificate";
const JOURNAL = "Entra admin center > Monitoring > Sign-in logs, filtré sur MAILBOX";
const SEND_AS = `Add-RecipientPermission -Identity SENDER -Trustee MAILBOX -AccessRights SendAs, ou laissez l'appareil utiliser MAILBOX comme expéditeur ; ${REPRIS}`;
const ADRESSE_PROPRE: Translation = [
  "l'upstream n'a pas même le droit d'envoyer au nom de sa propre adresse",
  `Get-Recipient OWN-ADDRESS doit connaître l'adresse au nom de laquelle envoie l'upstream UPSTREAM (sender.address, sinon mailbox). Ensuite Add-RecipientPermission -Identity OWN-ADDRESS -Trustee OBJECT-ID -AccessRights SendAs pour l'application, ou avec MAILBOX à la place de OBJECT-ID pour une autre adresse que celle de la boîte. Avec Azure Communication Services, ce doit être une adresse MailFrom d'un domaine vérifié ; ${REPRIS}`,
];
const OUVRIR =
  "New-ManagementRoleAssignment -Role 'Application SMTP.SendAsApp' -App CLIENT-ID -CustomResourceScope SCOPE laisse l'application envoyer au nom des boîtes de ce périmètre ; si SMTP.SendAsApp a été accordé dans Entra : Add-MailboxPermission -Identity MAILBOX -User OBJECT-ID -AccessRights FullAccess. Cela prend jusqu'à une heure";
const SPF = "v=spf1 ip4:ADRESSE include:spf.protection.outlook.com ~all";

const CONNEXION: Readonly<Record<string, Translation>> = {
  "smart-host-password": [
    "le smart host n'accepte pas le nom d'utilisateur et le mot de passe",
    "Corrigez le nom d'utilisateur (credential.username de l'upstream UPSTREAM) ou le mot de passe (PASSWORD-PLACE) : ce que connaît le smart host doit s'y trouver",
  ],
  "smtp-auth-off-tenant": [
    "SMTP AUTH est désactivé pour l'organisation",
    "Activez-le pour cette seule boîte : Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false",
  ],
  "smtp-auth-off-mailbox": [
    "SMTP AUTH est désactivé pour la boîte",
    "Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false (ou Microsoft 365 admin center > l'utilisateur > Mail > Manage email apps > Authenticated SMTP)",
  ],
  "basic-auth-off": ["les mots de passe ne sont plus acceptés pour SMTP AUTH", OAUTH],
  "basic-auth-retired": ["Microsoft a mis fin aux mots de passe pour SMTP AUTH", OAUTH],
  "security-defaults": [
    "les paramètres de sécurité par défaut de l'organisation bloquent les mots de passe",
    `${OAUTH}. Ne désactivez pas ces paramètres`,
  ],
  "conditional-access": [
    "l'accès conditionnel, l'authentification multifacteur ou une règle de lieu refuse la connexion",
    `Cherchez la règle dans le journal (${JOURNAL}) et excluez le compte, ou utilisez les identifiants d'une application`,
  ],
  "wrong-password": [
    "le nom d'utilisateur ou le mot de passe est faux",
    "Corrigez le mot de passe (PASSWORD-PLACE), par un mot de passe d'application avec l'authentification multifacteur, ou utilisez OAuth",
  ],
  "account-locked": [
    "le compte est verrouillé après de mauvais mots de passe",
    `Cherchez qui essaie des mots de passe (${JOURNAL}), arrêtez-le, puis attendez une demi-heure ou déverrouillez le compte`,
  ],
  "federation-down": [
    "le service de connexion fédéré (AD FS) de l'organisation est injoignable",
    "Réparez AD FS, ou utilisez un compte cloud ou les identifiants d'une application",
  ],
  "federation-plain": [
    "le service de connexion fédéré (AD FS) n'a pas HTTPS",
    "Donnez à AD FS une adresse HTTPS, ou utilisez un compte cloud ou les identifiants d'une application",
  ],
  "organization-forbids": [
    "une stratégie d'authentification de l'organisation interdit cette connexion",
    "Get-AuthenticationPolicy | Format-List Name,AllowBasicAuthSmtp, puis autorisez-la pour MAILBOX, ou utilisez OAuth",
  ],
  "auth-refused-with-reason": ["Microsoft refuse la connexion", `La réponse en donne la raison ; le journal en dit plus (${JOURNAL})`],
  "auth-refused": [
    "Microsoft n'accepte pas le jeton ou le mot de passe : l'application n'a pas droit à cette boîte, ou Exchange ne la connaît pas",
    `New-ServicePrincipal -AppId CLIENT-ID -ObjectId OBJECT-ID (celui d'Enterprise applications, pas d'App registrations) fait connaître l'application à Exchange ; puis ${OUVRIR}. Avec un mot de passe : corrigez-le`,
  ],
  "auth-mechanism": [
    "le serveur ne propose pas cette authentification : ce n'est pas l'hôte de soumission, ou TLS manquait",
    "Utilisez l'hôte smtp.office365.com et le port 587, sans pare-feu qui retire STARTTLS",
  ],
  "auth-user-invalid": [
    "le nom d'utilisateur n'est pas une adresse que Microsoft connaît",
    "Mettez dans mailbox l'adresse principale : Get-Mailbox MAILBOX | Format-List PrimarySmtpAddress",
  ],
  "auth-temporary": ["le serveur suivant ne peut vérifier les connexions pour le moment", SERVICE],
  "proxy-failed-at-auth": [
    "Microsoft n'atteint pas le serveur de la boîte pendant la connexion",
    "Si cela dure une heure, vérifiez que le compte a une boîte : Get-Mailbox MAILBOX",
  ],
  "old-tls": [
    "la connexion est arrivée chez Microsoft en TLS 1.0 ou 1.1",
    "Un pare-feu entre Postern et Microsoft ouvre TLS avec une ancienne version : exemptez le port 587 de l'inspection",
  ],
  "starttls-required": ["le serveur suivant exige d'abord STARTTLS", "Mettez tls: required sur l'upstream"],
  "ehlo-name": [
    "le serveur suivant n'accepte pas notre nom d'hôte",
    "Donnez à hostname un nom simple comme relay.contoso.com : sans tiret bas ni point final",
  ],
  "not-authenticated": [
    "la connexion n'est pas authentifiée",
    "Vérifiez le credential de l'upstream et que SMTP AUTH est activé : Set-CASMailbox -Identity MAILBOX -SmtpClientAuthenticationDisabled $false",
  ],
  "authentication-required": [
    "le serveur suivant exige une authentification",
    "Donnez un credential à l'upstream, ou autorisez l'adresse de Postern sur le serveur suivant",
  ],
};

const EXPEDITEUR: Readonly<Record<string, Translation>> = {
  "own-sender-denied": ADRESSE_PROPRE,
  "own-sender-denied-graph": ADRESSE_PROPRE,
  "sender-denied-at-mail": ["la boîte n'a pas le droit d'envoyer au nom de cet expéditeur", SEND_AS],
  "sender-denied": ["la boîte n'a pas le droit d'envoyer au nom de cet expéditeur", SEND_AS],
  "sender-denied-graph": ["la boîte n'a pas le droit d'envoyer au nom de cet expéditeur", SEND_AS],
  "bad-outbound-sender": ["Microsoft a restreint cet expéditeur pour courrier indésirable", `${RESTREINT} : débloquez SENDER ; ${REPRIS}`],
  "sender-banned": [
    "Microsoft a banni cet expéditeur",
    `Trouvez l'appareil qui envoie du courrier indésirable au nom de SENDER (postern queue list --from SENDER), puis ${RESTREINT} ; ${REPRIS}`,
  ],
  "sender-domain-listed": [
    "le domaine de l'expéditeur est sur une liste de blocage",
    `Faites retirer le domaine de SENDER sur https://check.spamhaus.org ; ${REPRIS}`,
  ],
  "dmarc-failed": [
    "le domaine de l'expéditeur rejette le courrier sans SPF ni DKIM valable (DMARC), et le nôtre n'en a pas",
    `Ajoutez notre adresse publique au SPF du domaine (${SPF}), ou envoyez par un connecteur ou smtp-auth ; ${REPRIS}`,
  ],
  "spf-failed": ["le SPF du domaine de l'expéditeur ne nomme pas notre adresse publique", `Ajoutez-la : ${SPF} ; ${REPRIS}`],
  "domain-unregistered": [
    "Microsoft nous bloque pour avoir relayé du courrier de domaines étrangers à l'organisation",
    `Ajoutez le domaine de SENDER dans Microsoft 365 admin center > Settings > Domains, ou mettez sender: { mode: rewrite } sur l'upstream ; ${REPRIS}`,
  ],
  "sender-malformed": ["l'adresse de l'expéditeur est mal formée", "Corrigez l'adresse de l'expéditeur dans l'appareil"],
};

const LIMITES: Readonly<Record<string, Translation>> = {
  "mailbox-logon-failed": [
    "la connexion réussit, mais l'application ne peut ouvrir la boîte (de nouveaux droits prennent jusqu'à une heure)",
    OUVRIR,
  ],
  "concurrent-connections": [
    "plus de trois connexions utilisent cette boîte à la fois",
    "Donnez à Postern une boîte à lui ; d'autres programmes qui envoient avec MAILBOX comptent aussi",
  ],
  "daily-recipients-used": ["la boîte a épuisé ses 10 000 destinataires des dernières 24 heures", UN_JOUR],
  "daily-recipients-used-code": ["la boîte a épuisé ses destinataires des dernières 24 heures", UN_JOUR],
  "tenant-recipients-used": [
    "l'organisation a épuisé ses destinataires externes des dernières 24 heures",
    "La limite se libère d'elle-même en un jour. Exchange admin center > Reports > Mail flow > Tenant outbound external recipients montre qui envoie tant ; limits.external_recipients_per_day la respecte",
  ],
  "onmicrosoft-recipients-used": [
    "les expéditeurs en onmicrosoft.com n'ont droit qu'à 100 destinataires externes par jour",
    "Envoyez depuis une adresse de votre propre domaine : Set-Mailbox -Identity MAILBOX -WindowsEmailAddress ADRESSE@VOTRE-DOMAINE",
  ],
  "mailbox-full": [
    "la boîte d'envoi est pleine, souvent de copies dans les éléments envoyés",
    "Videz les éléments envoyés, et arrêtez les copies : Set-Mailbox -Identity MAILBOX -MessageCopyForSMTPClientSubmissionEnabled $false",
  ],
  "outbound-spam": [
    "Microsoft a bloqué la boîte pour ce qui ressemble à du courrier indésirable",
    `${TROUVER}, puis ${RESTREINT} : débloquez MAILBOX`,
  ],
  "tenant-blocked": [
    "Microsoft ne prend pour le moment aucun courrier de cette organisation (volume inhabituel, indésirables ou abonnement expiré)",
    "Arrêtez la source du courrier inhabituel, vérifiez l'abonnement, puis ouvrez une demande d'assistance dans Microsoft 365 admin center",
  ],
  "tenant-untrusted": [
    "Microsoft ne prend pour le moment aucun courrier de l'adresse de cette organisation (nouvelle, d'essai, ou de faible réputation)",
    "Ouvrez une demande d'assistance dans Microsoft 365 admin center ; commencez avec peu de courrier et augmentez",
  ],
  "recipient-busy": [
    "cette boîte reçoit plus de messages par heure que Microsoft ne permet",
    "Trouvez l'appareil ou l'application qui l'inonde, et réduisez ses envois",
  ],
  "message-rate": [
    "plus de messages par minute ou par heure qu'Azure Communication Services n'en permet",
    "Abaissez limits.messages_per_minute et limits.messages_per_hour de l'upstream, ou demandez à l'assistance Azure une limite plus haute pour le domaine",
  ],
  "queue-quota": [
    "la file d'attente de l'organisation chez Microsoft est pleine",
    "Cherchez une boucle ou un flot de courrier : postern queue list",
  ],
  "no-resources": ["le serveur suivant manque de ressources", "Patientez ; si le serveur est à vous, regardez son disque et sa mémoire"],
};

export const FRENCH_DOOR_ANSWERS: Readonly<Record<string, Translation>> = { ...CONNEXION, ...EXPEDITEUR, ...LIMITES };
