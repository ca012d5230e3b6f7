/** How the daemon speaks with the guardian. */
export { type GuardianLink, type GuardianLinkListener, openGuardianLink } from './guardian-link.js'
