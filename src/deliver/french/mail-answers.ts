/** Answers about messages, recipients and who we are on port 25, trouble that passes, and Graph. */
import { REPRIS, RESTREINT, SERVICE, TROUVER, UN_JOUR } from "./phrases.ts";
import type { Translation } from "./translation.ts";

const MAIL_SEND =
  "Test-ServicePrincipalAuthorization -Identity CLIENT-ID -Resource MAILBOX montre ce que l'application peut faire. Si Mail.Send manque : New-ManagementRoleAssignment -Role 'Application Mail.Send' -App CLIENT-ID -CustomResourceScope SCOPE la laisse envoyer au nom des boîtes de ce périmètre ; dans Entra, Microsoft Graph > Application permissions > Mail.Send, avec le consentement, au nom de toutes. Cela prend jusqu'à une heure";
const PAGE_GRAPH: Translation = [
  "refusé sans un mot de Graph : un proxy ou un pare-feu en est peut-être l'auteur",
  "curl -v https://graph.microsoft.com sur cette machine montre qui répond. Laissez-le passer le proxy ou le pare-feu sans lecture",
];
const GROS_GRAPH = "Ajoutez un upstream smtp-auth derrière celui-ci dans la route, ou numérisez avec une résolution plus basse";
const ADRESSE = "Vérifiez l'adresse ; une nouvelle boîte met jusqu'à une heure à être connue";
const IP_SUSPECTE = "Patientez ; si cela dure, utilisez un connecteur (qui évite cela) ou SMTP AUTH, depuis une adresse fixe avec SPF";
const RIEN = "Rien : une nouvelle tentative a lieu";

const CONTENU: Readonly<Record<string, Translation>> = {
  "message-too-large-mailbox": [
    "le message est plus gros que la boîte ne peut envoyer",
    "Set-Mailbox -Identity MAILBOX -MaxSendSize 150MB, ou numérisez avec une résolution plus basse",
  ],
  "headers-too-large": [
    "le message a des lignes d'en-tête trop nombreuses ou trop longues",
    "Corrigez ce que l'appareil ou l'application écrit dans l'en-tête",
  ],
  "message-too-large": [
    "le message est trop volumineux pour le serveur suivant",
    "Numérisez avec une résolution plus basse, ou relevez la limite du serveur suivant",
  ],
  "message-too-large-worded": [
    "le message est trop volumineux pour le serveur suivant",
    "Numérisez avec une résolution plus basse, ou relevez la limite du serveur suivant",
  ],
  "header-value-too-long": [
    "une ligne d'en-tête dépasse 32 Ko",
    "L'appareil écrit un en-tête défectueux : mettez son micrologiciel à jour",
  ],
  "mime-broken": ["la structure MIME du message est défectueuse", "Mettez à jour le micrologiciel de l'appareil"],
  "bare-line-feeds": [
    "le message contient des caractères que le serveur suivant n'accepte pas (un saut de ligne sans retour chariot)",
    "Rien dans l'appareil : Postern répare les fins de ligne à la réception. Signalez-le comme un défaut de Postern",
  ],
  "from-missing": ["le message n'a pas de ligne From: utilisable", "Corrigez l'expéditeur dans l'appareil"],
  "from-double": ["le message nomme plusieurs expéditeurs dans From:", "Corrigez l'expéditeur dans l'appareil : une seule adresse"],
  "mail-loop": [
    "le message a tourné en rond",
    "Cherchez un connecteur ou une règle de transfert qui renvoie à Postern le courrier de ce destinataire : Get-OutboundConnector, Get-InboxRule, Get-Mailbox | Format-List ForwardingSmtpAddress",
  ],
};

const CONNECTEUR =
  "Get-InboundConnector | Format-List Name,Enabled,ConnectorType,SenderIPAddresses,TlsSenderCertificateName : il doit être de type OnPremises et nommer notre adresse publique ou le nom de notre certificat, envoyé avec toute sa chaîne";

const IDENTITE: Readonly<Record<string, Translation>> = {
  "relay-denied-here": ["Microsoft ne relaie pas vers ce destinataire, alors qu'il en prend d'autres à l'extérieur", "Vérifiez l'adresse"],
  "relay-denied-direct": [
    "Direct Send ne remet qu'à l'intérieur de l'organisation, et ce domaine n'y est pas connu",
    `Si le domaine est à vous, ajoutez-le dans Microsoft 365 admin center > Settings > Domains ; sinon retirez-le d'organization.domains ; ${REPRIS}`,
  ],
  "relay-denied": [
    "Microsoft ne nous reconnaît pas comme serveur de l'organisation : aucun connecteur ne correspond à notre adresse, à notre certificat ou au domaine de cet expéditeur",
    `${CONNECTEUR}. Le domaine de SENDER, ou celui du certificat, doit être de l'organisation : Get-AcceptedDomain`,
  ],
  "direct-send-rejected": [
    "l'organisation refuse Direct Send de sources inconnues",
    "New-InboundConnector -Name Postern -ConnectorType OnPremises -SenderDomains * -SenderIPAddresses ADRESSE -RequireTls $true (ou -TlsSenderCertificateName avec le nom de notre certificat), ou utilisez un upstream smtp-auth",
  ],
  "partner-connector": [
    "un connecteur partenaire de l'organisation attend le domaine de cet expéditeur d'une autre adresse ou avec un autre certificat",
    "Get-InboundConnector | Where-Object ConnectorType -eq Partner | Format-List Name,SenderDomains,RestrictDomainsToIPAddresses,RestrictDomainsToCertificate : corrigez-le, ou ajoutez notre adresse",
  ],
  "connector-blocked": [
    "Microsoft a bloqué le connecteur pour abus",
    "Trouvez l'appareil en cause (postern devices), puis Microsoft Defender > Email & collaboration > Review > Restricted entities > Connectors : débloquez-le",
  ],
  "no-subscription": [
    "l'organisation n'a pas d'abonnement avec messagerie",
    "Renouvelez-le : Microsoft 365 admin center > Billing > Your products",
  ],
  "wrong-region": [
    "l'hôte de l'upstream n'est pas celui du domaine de l'organisation",
    "Retirez host: de l'upstream, ou mettez-y le nom que montre nslookup -type=mx VOTRE-DOMAINE",
  ],
  "rate-limited-by-reputation": [
    "Outlook.com ralentit notre adresse à cause de sa réputation",
    "Envoyez par smtp-auth ou un connecteur plutôt que directement à Outlook.com",
  ],
  "server-busy": ["Microsoft ralentit notre adresse : elle est nouvelle, dynamique, ou envoie par rafales", IP_SUSPECTE],
  greylisted: ["Microsoft juge notre adresse suspecte et la fait attendre", IP_SUSPECTE],
  "address-banned": [
    "notre adresse publique est sur la liste de blocage de Microsoft",
    "Cherchez un logiciel malveillant dans le réseau, puis demandez le retrait sur https://sender.office.com",
  ],
  "address-banned-hard": [
    "Microsoft a banni notre adresse publique",
    "Envoyez la réponse entière à delist@microsoft.com ; d'ici là, utilisez un upstream smtp-auth ou graph",
  ],
  "host-name-listed": [
    "notre nom d'hôte est sur une liste de blocage",
    "Faites retirer le domaine de hostname sur https://check.spamhaus.org, ou changez hostname",
  ],
  "address-listed": [
    "notre adresse publique est sur une liste de blocage",
    "Faites-la retirer sur https://check.spamhaus.org ; depuis une adresse dynamique, utilisez smtp-auth (port 587) ou graph au lieu du port 25",
  ],
  "spam-abuse": [
    "Microsoft prend ce courrier pour de l'indésirable",
    `Trouvez l'appareil qui l'envoie (postern queue list --from SENDER) et voyez s'il est compromis ; ${REPRIS}`,
  ],
  "host-name-refused": [
    "notre nom d'hôte ressemble à une imitation du domaine du destinataire",
    "Donnez à hostname le nom public de cette machine, celui qui mène à notre adresse publique",
  ],
  "over-ipv6": [
    "Microsoft ne prend pas ce courrier en IPv6",
    "Laissez Postern joindre l'upstream en IPv4 sur le port 25 ; il le préfère quand les deux fonctionnent",
  ],
  "over-ipv6-unsigned": [
    "en IPv6, le courrier doit passer SPF ou DKIM",
    "Laissez Postern joindre l'upstream en IPv4 sur le port 25, ou ajoutez notre adresse IPv6 au SPF du domaine",
  ],
};

const TROP_DE_DESTINATAIRES: Translation = [
  "plus de destinataires que le serveur suivant n'en prend à la fois ; le reste suit aussitôt",
  "Abaissez limits.recipients_per_message de l'upstream",
];

const TROP_EN_TOUT: Translation = [
  "plus de destinataires que le serveur suivant n'en prend dans un message ; ils repartent aussitôt, par moitiés",
  "Abaissez limits.recipients_per_message de l'upstream",
];

const DESTINATAIRES: Readonly<Record<string, Translation>> = {
  "recipient-malformed": ["l'adresse est mal formée", "Corrigez l'adresse dans l'appareil"],
  "sender-reputation": [
    "Microsoft n'accepte encore que peu de destinataires de notre adresse",
    "Rien : cela passe quand l'adresse devient connue. Un connecteur l'évite",
  ],
  "too-many-recipients": TROP_DE_DESTINATAIRES,
  "too-many-recipients-worded": TROP_DE_DESTINATAIRES,
  "too-many-in-all": TROP_EN_TOUT,
  "too-many-in-all-worded": TROP_EN_TOUT,
  "several-regions": ["ce destinataire est dans une autre région que le premier ; il suit aussitôt dans un autre envoi", "Rien"],
  "recipient-not-here": [
    "Direct Send n'atteint pas ce destinataire : l'adresse n'existe pas, ou son domaine n'est pas celui de l'organisation",
    ADRESSE,
  ],
  "recipient-unknown": ["ce destinataire n'existe pas", ADRESSE],
  "recipient-not-found": ["ce destinataire n'existe pas", ADRESSE],
  "relay-refused": [
    "le serveur suivant ne relaie pas pour nous vers l'extérieur",
    `Donnez à ce destinataire une route par un connecteur ou smtp-auth, ou autorisez l'adresse de Postern à relayer sur le serveur suivant ; ${REPRIS}`,
  ],
  "relay-hiccup": ["Microsoft ne nous a pas reconnus cette fois", RIEN],
  "recipient-banned": [
    "Microsoft ne prend pour le moment aucun courrier de notre part pour ce destinataire",
    `Trouvez l'appareil qui lui a envoyé du courrier indésirable (postern queue list --to ADRESSE) ; ${REPRIS}`,
  ],
  "recipient-blocks-us": [
    "le destinataire, ou son organisation, a bloqué cet expéditeur",
    "Demandez au destinataire de retirer l'expéditeur de la liste de blocage",
  ],
  "recipient-on-block-list": [
    "l'organisation a bloqué ce destinataire dans sa Tenant Allow/Block List",
    "Microsoft Defender > Policies & rules > Threat policies > Tenant Allow/Block Lists : retirez l'entrée, puis renvoyez",
  ],
  "mail-flow-rule": [
    "une règle de messagerie de l'organisation rejette le message",
    "Get-TransportRule | Where-Object State -eq Enabled | Format-List Name,Description montre laquelle ; corrigez-la, puis renvoyez",
  ],
  "recipient-does-not-want-it": [
    "le destinataire n'accepte pas de courrier de cet expéditeur (souvent : un groupe réservé à l'intérieur)",
    "Autorisez l'expéditeur : Set-DistributionGroup -Identity GROUPE -RequireSenderAuthenticationEnabled $false ; le courrier par smtp-auth compte comme interne",
  ],
  "hve-outside": [
    "High Volume Email ne remet qu'à l'intérieur de l'organisation",
    "Ajoutez à la route un autre upstream pour recipients: external",
  ],
};

const PANNES: Readonly<Record<string, Translation>> = {
  "proxy-failed": ["Microsoft n'atteint pas le serveur de la boîte", SERVICE],
  "not-proxied": ["Microsoft n'a pas pu transmettre le message en interne", SERVICE],
  "directory-trouble": ["Microsoft ne trouve pas l'organisation pour le moment", SERVICE],
  "replication-trouble": ["Microsoft n'a pas pu enregistrer le message en double", SERVICE],
  "mailbox-moving": ["le serveur de la boîte change", SERVICE],
  "session-too-long": [
    "le serveur suivant a mis fin à la session",
    "Rien, sauf si c'est fréquent : vérifiez alors le pare-feu entre Postern et le serveur suivant",
  ],
  "connection-dropped": [
    "la connexion vers le serveur suivant a été coupée",
    "Si c'est fréquent, exemptez les ports 25 et 587 de l'inspection du pare-feu",
  ],
  "too-many-errors": ["le serveur suivant a mis fin à la session après des refus", "Rien"],
  "service-not-available": ["le serveur suivant est indisponible pour le moment", SERVICE],
};

const GRAPH: Readonly<Record<string, Translation>> = {
  "graph-drafts-denied": [
    "le message ne part par Graph que comme brouillon, et l'application ne peut pas créer de brouillons dans cette boîte : Mail.ReadWrite manque",
    `New-ManagementRoleAssignment -Role 'Application Mail.ReadWrite' -App CLIENT-ID -CustomResourceScope SCOPE, ou ajoutez un upstream smtp-auth derrière celui-ci dans la route ; cela prend jusqu'à une heure, ${REPRIS}`,
  ],
  "graph-access-denied": [
    "l'application n'a pas droit à cette boîte : Mail.Send manque (ou est en Delegated), ou la boîte est hors de son périmètre",
    MAIL_SEND,
  ],
  "graph-no-permissions": ["le jeton ne porte aucune permission : l'application n'a pas de consentement", MAIL_SEND],
  "graph-token-refused": [
    "Graph n'accepte pas notre jeton, même renouvelé",
    "Vérifiez organization.cloud, ainsi que graph_host et scope de l'upstream : le jeton doit être pour le Graph interrogé",
  ],
  "graph-encoding": [
    "Graph n'a pas pu lire le message tel que nous l'avons codé",
    `C'est un défaut de Postern : signalez-le. D'ici là, donnez à la route un upstream qui parle SMTP ; ${REPRIS}`,
  ],
  "graph-too-large": ["le message est trop volumineux pour Graph ou pour la boîte", GROS_GRAPH],
  "graph-recipients": [
    "Graph n'accepte pas l'un des destinataires, sans dire lequel",
    "Vérifiez les adresses ; un upstream smtp-auth derrière celui-ci dans la route ne refuse que la mauvaise",
  ],
  "graph-header-names": [
    "la boîte n'a plus de place pour un autre nom de champ d'en-tête, et le message en a un nouveau",
    `Ajoutez un upstream de type smtp-auth après celui-ci dans la route, ou donnez une autre boîte à l'upstream : MAILBOX a épuisé ses propriétés nommées, que la vider ne rend pas ; ${REPRIS}`,
  ],
  "graph-mailbox-full": [
    "la boîte d'envoi est pleine",
    "Videz les éléments envoyés : Graph y garde une copie de tout envoi MIME. Une stratégie de rétention pour MAILBOX le fait d'elle-même",
  ],
  "graph-mailbox-absent": [
    "la boîte n'a pas de licence, a été supprimée, ou est encore sur site",
    "Get-Mailbox MAILBOX doit la montrer dans Exchange Online ; donnez-lui une licence ou migrez-la",
  ],
  "graph-mailbox-unknown": [
    "la boîte d'envoi n'existe pas",
    "Corrigez mailbox de l'upstream, ou avec mailbox: from sa liste allow : Get-Mailbox MAILBOX",
  ],
  "graph-submission-blocked": [
    "Microsoft a bloqué la boîte pour ce qui ressemble à du courrier indésirable",
    `${TROUVER}, puis ${RESTREINT} : débloquez MAILBOX`,
  ],
  "graph-daily-limit": ["la boîte a épuisé ses messages ou destinataires des dernières 24 heures", UN_JOUR],
  "graph-throttled": ["Graph ralentit l'application", "Patientez ; si cela dure, cherchez qui d'autre utilise ce client_id"],
  "graph-busy": ["Graph est surchargé", SERVICE],
  "graph-trouble": ["Graph a des difficultés pour le moment", SERVICE],
  "graph-not-authorized": ["Graph n'accepte pas notre connexion, même avec un nouveau jeton", MAIL_SEND],
  "graph-size-status": ["le message est trop volumineux pour Graph", GROS_GRAPH],
  "graph-page-forbidden": [PAGE_GRAPH[0], `${PAGE_GRAPH[1]} ; ${REPRIS}`],
  "graph-page-refused": PAGE_GRAPH,
  "graph-forbidden": ["Graph refuse le message selon ses règles", `Corrigez ce que nomme la réponse ; ${REPRIS}`],
};

export const FRENCH_MAIL_ANSWERS: Readonly<Record<string, Translation>> = {
  ...CONTENU,
  ...IDENTITE,
  ...DESTINATAIRES,
  ...PANNES,
  ...GRAPH,
};
