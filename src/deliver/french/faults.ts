/** Faults without a reply, and what no row knows. */
import type { Translation } from "./translation.ts";

const RESEAU =
  "Vérifiez la résolution de noms et le pare-feu : postern doit joindre l'hôte et le port de l'upstream ; rien d'autre n'est à faire, le courrier part dès que possible";
const REPRIS = "il partira ensuite de lui-même, ou tout de suite avec postern queue release --from SENDER";
const SECRET =
  "Créez un nouveau secret dans Entra admin center > App registrations > Certificates & secrets, et placez sa valeur (pas son id) là où se trouve le secret de l'upstream UPSTREAM : SECRET-PLACE";
const SIGN_IN = "postern auth login UPSTREAM, puis saisissez le code dans les 15 minutes";
const SERVICE = "Patientez ; voir Microsoft 365 admin center > Health > Service health";

export const FRENCH_FAULTS: Readonly<Record<string, Translation>> = {
  "door-temporary": ["le serveur suivant n'est pas prêt", "Patientez"],
  "door-refused": [
    "le serveur suivant nous refuse",
    "La réponse en donne la raison ; corrigez les réglages de l'upstream ou le serveur suivant",
  ],
  "policy-refused": ["Microsoft refuse le message selon ses règles", `Corrigez ce que nomme la réponse ; ${REPRIS}`],
  refused: ["le serveur suivant l'a refusé", "La réponse en donne la raison"],
  deferred: ["le serveur suivant l'a remis à plus tard", "Rien : une nouvelle tentative a lieu"],
  "no-answer": ["pas de réponse lisible", "Rien : une nouvelle tentative a lieu"],
  ambiguous: [
    "le message a été envoyé en entier, mais la réponse s'est perdue : il est peut-être arrivé",
    "Rien : une nouvelle tentative a lieu",
  ],
  corrupt: [
    "le message enregistré ne correspond plus à sa somme de contrôle et n'est pas envoyé",
    "Le disque ou son contrôleur l'a endommagé : vérifiez la machine, redemandez la numérisation, puis postern queue bounce QUEUEID (l'expéditeur est averti) ou postern queue delete QUEUEID",
  ],
  "door-fault": [
    "le serveur suivant est inutilisable",
    "Vérifiez host et port de l'upstream, et ce qui se trouve sur le chemin ; une nouvelle tentative a lieu d'elle-même",
  ],
  fault: ["la remise a été interrompue", "Rien : une nouvelle tentative a lieu"],
  "authority-unreachable": [
    "le service d'authentification AUTHORITY est injoignable",
    "Cette machine doit joindre le service d'authentification, AUTHORITY : vérifiez la résolution de noms, le pare-feu et network.proxy ; rien d'autre n'est à faire, le courrier part dès que possible",
  ],
  "authority-tls": [
    "le service d'authentification AUTHORITY ne parle pas TLS avec nous",
    "openssl s_client -connect AUTHORITY montre ce qui y répond : un pare-feu ou un proxy le fait peut-être à sa place ; sinon corrigez authority de l'upstream",
  ],
  "authority-certificate": [
    "le certificat du service d'authentification AUTHORITY n'est pas valable",
    "Si un pare-feu inspecte TLS, exemptez AUTHORITY, ou nommez l'autorité de certification du pare-feu dans ca de l'upstream",
  ],
  "authority-answer": [
    "ce qui répond pour le service d'authentification AUTHORITY ne donne ni jeton ni raison",
    "Un proxy ou un pare-feu répond peut-être à sa place : curl -v https://AUTHORITY sur cette machine montre qui. Laissez-y passer AUTHORITY, ou corrigez authority de l'upstream ; le courrier part dès que possible",
  ],
  silent: [
    "le serveur suivant accepte la connexion et ne répond pas à temps",
    "Un pare-feu laisse peut-être passer TCP et avale SMTP : curl -v telnet://HOST:PORT sur cette machine doit montrer une ligne 220 en quelques secondes ; sinon exemptez le port de l'inspection, ou corrigez host et port de l'upstream. Le courrier part dès que possible",
  ],
  unreachable: ["le serveur suivant est injoignable", RESEAU],
  "too-many-files": [
    "cette machine ne nous laisse ouvrir aucune autre connexion",
    "Relevez la limite des fichiers ouverts : LimitNOFILE dans l'unité, --ulimit nofile pour un conteneur ; pour ENFILE, fs.file-max de la machine. Rien d'autre à faire, le courrier part dès que possible",
  ],
  "name-unknown": ["le nom du serveur suivant ne peut être résolu", RESEAU],
  "timed-out": ["le serveur suivant n'a pas répondu à temps", RESEAU],
  reset: ["la connexion a été coupée", RESEAU],
  proxy: [
    "le proxy ne nous laisse pas passer",
    "Vérifiez network.proxy, et que le proxy permet CONNECT vers graph.microsoft.com et login.microsoftonline.com sur le port 443",
  ],
  "no-starttls": [
    "le serveur suivant ne propose pas STARTTLS",
    "Un pare-feu le retire peut-être : exemptez ce port de l'inspection. Pour un serveur interne, mettez tls: opportunistic ou none sur l'upstream",
  ],
  certificate: [
    "le certificat du serveur suivant n'est pas valable",
    "Si un pare-feu inspecte TLS, exemptez ce port ; si le certificat vient de votre propre autorité, nommez-la dans ca de l'upstream ; sinon mettez dans host le nom du certificat",
  ],
  "not-tls": [
    "le port ne commence pas par TLS : il parle STARTTLS, ou aucun TLS",
    "Mettez tls: required sur l'upstream (STARTTLS), ou nommez le port qui commence par TLS, souvent 465",
  ],
  "https-failed": [
    "la négociation TLS a échoué",
    "openssl s_client -connect HOST:PORT montre ce qui y répond : un pare-feu ou un proxy le fait peut-être à la place de Microsoft",
  ],
  "tls-failed": [
    "la négociation TLS a échoué",
    "Le serveur suivant doit parler TLS 1.2 ou mieux : openssl s_client -starttls smtp -connect HOST:PORT montre ce qu'il propose",
  ],
  "no-auth-at-smart-host": [
    "le smart host ne propose aucune authentification utilisable",
    "Beaucoup de serveurs ne proposent AUTH qu'après TLS, ou sur un autre port : port: 587 avec tls: required, ou 465 avec tls: implicit. Si le serveur se fie à l'adresse de cette machine, retirez credential de l'upstream",
  ],
  "no-auth-offered": [
    "le serveur suivant ne propose aucune authentification utilisable",
    "Utilisez l'hôte et le port de soumission (smtp.office365.com, 587), ou retirez credential d'un upstream qui n'en a pas besoin",
  ],
  "cleartext-auth": [
    "le mot de passe serait passé sur une ligne sans TLS vérifié",
    "Mettez tls: required sur l'upstream, ou retirez-lui credential",
  ],
  "secret-missing": [
    "le secret, le certificat ou la clé de l'upstream est illisible",
    "postern check nomme le fichier ; placez-le là, lisible par l'utilisateur du service",
  ],
  "too-large": [
    "le message est trop volumineux pour le serveur suivant",
    "Numérisez avec une résolution plus basse, ou relevez la limite de l'upstream et du serveur suivant",
  ],
  "not-served": [
    "cet upstream n'atteint pas ce destinataire",
    `Ajoutez à la route un upstream qui atteint l'extérieur (smtp-auth, graph ou connector) ; ${REPRIS}`,
  ],
  "sender-signed": [
    "le message est signé : remplacer son expéditeur par celui de la boîte casserait la signature",
    `Ajoutez à la route un upstream qui garde les expéditeurs (connector) ; ou, si MAILBOX est une boîte d'Exchange Online, donnez-lui le droit d'envoyer en son nom : Add-RecipientPermission -Identity SENDER -Trustee MAILBOX -AccessRights SendAs, et ajoutez-le à sender.send_as ; ${REPRIS}`,
  ],
  "sender-not-allowed": [
    "l'expéditeur n'est pas dans la liste allow de l'upstream",
    `Ajoutez SENDER à allow, si c'est une boîte dont l'application peut envoyer ; ${REPRIS}`,
  ],
  "header-recipients": [
    "l'en-tête nomme d'autres destinataires que ceux qui passent par cet upstream, et Graph leur enverrait aussi le message",
    `Ajoutez à la route un upstream qui parle SMTP ; ${REPRIS}`,
  ],
  "graph-not-taken": [
    "Graph a répondu 200 au lieu de 202, comme pour certains gros messages qu'il n'envoie pas",
    `Ajoutez un upstream smtp-auth à la route, ou abaissez limits.max_message_size de celui-ci ; vérifiez si le message est arrivé avant de le libérer ; ${REPRIS}`,
  ],
  "graph-page": [
    "une page est venue à la place de la réponse de Graph : un proxy ou un pare-feu retient le message",
    `Laissez graph.microsoft.com passer le proxy ou le pare-feu sans lecture ; curl -v https://graph.microsoft.com sur cette machine montre qui répond ; ${REPRIS}`,
  ],
  "mx-foreign": [
    "l'enregistrement MX du domaine mène à un autre fournisseur que Microsoft 365",
    "Mettez dans host: de l'upstream le nom que montre Microsoft 365 admin center > Settings > Domains > le domaine > DNS records pour MX",
  ],
  "mx-none": [
    "le domaine n'a pas d'enregistrement MX qui mène à un hôte joignable",
    "Corrigez domain: de l'upstream, ou mettez dans host: le nom que montre Microsoft 365 admin center > Settings > Domains > le domaine > DNS records",
  ],
  "dns-temporary": [
    "le serveur de noms ne répond pas pour le moment",
    "Vérifiez la résolution de noms : nslookup -type=mx VOTRE-DOMAINE ; network.dns.servers en nomme d'autres",
  ],
  "own-certificate-expired": [
    "notre certificat pour cet upstream a expiré",
    "Placez un nouveau certificat et sa clé dans les fichiers que nomme l'upstream : ils sont relus d'eux-mêmes",
  ],
  "own-certificate-key": [
    "notre certificat pour cet upstream et sa clé ne forment pas une paire",
    "Placez dans le fichier key la clé de ce certificat : il est relu de lui-même",
  ],
  "own-certificate-file": [
    "notre certificat pour cet upstream, ou sa clé, est illisible",
    "postern check nomme le fichier ; placez-le là en PEM, lisible par l'utilisateur du service",
  ],
  "not-signed-in": ["personne ne s'est encore connecté pour cet upstream", "postern auth login UPSTREAM"],
  "arc-unavailable": [
    "cette machine n'a pas d'identité managée pour demander un jeton",
    "azcmagent show doit dire Connected, et le service doit avoir le groupe himds : systemctl edit postern, [Service], SupplementaryGroups=himds ; sinon utilisez un credential de type client-certificate",
  ],
  "no-smtputf8": [
    "une adresse contient des caractères hors ASCII, que le serveur suivant n'accepte pas",
    "Utilisez une adresse sans lettres accentuées",
  ],
  "address-invalid": ["une adresse de l'enveloppe ne peut s'écrire en SMTP", "Corrigez l'adresse dans l'appareil"],
  "graph-protocol": [
    "ce qui répond n'est pas Graph",
    "Un proxy ou un pare-feu répond peut-être à sa place : curl -v https://graph.microsoft.com sur cette machine montre qui. Laissez-y passer graph.microsoft.com, ou corrigez graph_host de l'upstream",
  ],
  protocol: [
    "les réponses du serveur suivant sont incohérentes",
    "Vérifiez que l'hôte et le port de l'upstream sont ceux d'un serveur SMTP, et qu'aucun pare-feu ne récrit SMTP",
  ],
  "token-endpoint-trouble": [
    "le service de jetons a des difficultés",
    "Patientez ; un proxy répond peut-être à sa place : vérifiez que AUTHORITY est joignable",
  ],
  "content-unreadable": ["une erreur de notre côté", "Le journal donne les détails ; une nouvelle tentative a lieu"],
  "secret-wrong": ["Entra : le secret client est faux (souvent son id collé au lieu de sa valeur)", SECRET],
  "secret-expired": ["Entra : le secret client a expiré", SECRET],
  "secret-absent": [
    "Entra : ni secret ni assertion n'a été envoyé",
    "Donnez un secret au credential de l'upstream, ou un certificat et sa clé",
  ],
  "app-unknown": [
    "Entra : l'application n'est pas connue de ce locataire",
    "Corrigez client_id et organization.tenant ; puis accordez le consentement : Entra admin center > Enterprise applications > l'application > Permissions",
  ],
  "tenant-unknown": [
    "Entra : le locataire n'existe pas dans ce cloud",
    "Corrigez organization.tenant, et organization.cloud pour un cloud national",
  ],
  "consent-missing": [
    "Entra : l'application n'a pas de consentement",
    "Pour la connexion d'une personne : Entra admin center > App registrations > l'application > API permissions > Delegated permissions : ajoutez Office 365 Exchange Online > SMTP.Send (pour graph : Microsoft Graph > Mail.Send), accordez le consentement, puis postern auth login UPSTREAM. Une application avec un secret ou un certificat reçoit son droit dans Exchange Online : New-ManagementRoleAssignment -Role 'Application SMTP.SendAsApp' (pour graph : 'Application Mail.Send') -App CLIENT-ID -CustomResourceScope SCOPE",
  ],
  "assertion-refused": [
    "Entra : le certificat qui a signé notre demande lui est inconnu",
    "Déposez-le dans Entra admin center > App registrations > Certificates & secrets, et vérifiez que certificate et key de l'upstream forment une paire",
  ],
  "clock-wrong": ["Entra : notre demande est hors de sa période de validité", "Vérifiez l'horloge de cette machine : timedatectl"],
  "account-disabled": [
    "Entra : l'application ou le compte est désactivé",
    "Entra admin center > Enterprise applications > l'application > Properties > Enabled for users to sign-in : Yes",
  ],
  "user-refused": [
    "Entra : le compte est inconnu ou verrouillé, ou son mot de passe faux ou expiré",
    "Corrigez le credential ; le journal des connexions d'Entra dit lequel",
  ],
  "policy-blocks": [
    "Entra : l'authentification multifacteur, l'accès conditionnel ou les paramètres de sécurité par défaut bloquent la connexion",
    "Utilisez les identifiants d'une application (client-secret ou client-certificate), ou excluez le compte de la règle",
  ],
  "sign-in-ended": [
    "Entra : la connexion a expiré ou a été révoquée",
    "postern auth login UPSTREAM, ou utilisez les identifiants d'une application",
  ],
  "device-code-expired": ["Entra : le code de connexion a expiré", SIGN_IN],
  "device-code-refused": [
    "Entra : la connexion a été refusée, ou le code est inconnu",
    "postern auth login UPSTREAM, puis acceptez ce qui est demandé",
  ],
  "device-code-pending": ["Entra : personne n'a encore saisi le code", SIGN_IN],
  "scope-wrong": [
    "Entra : la ressource demandée n'existe pas dans ce locataire",
    "Vérifiez organization.cloud et scope de l'upstream ; le locataire doit avoir Exchange Online",
  ],
  "request-loop": [
    "Entra : trop de demandes de jetons en peu de temps",
    "Patientez cinq minutes ; si cela dure, cherchez qui d'autre utilise ce client_id",
  ],
  "entra-throttled": ["Entra : le locataire est ralenti", "Patientez"],
  "entra-trouble": ["Entra a des difficultés pour le moment", SERVICE],
  "entra-refused": [
    "Entra refuse de donner un jeton",
    "Cherchez le numéro AADSTS sur https://login.microsoftonline.com/error, puis corrigez le credential",
  ],
};
