// Signing in, and what can be in its way.
import type { Words } from './index.svelte';

const en = {
  siLead: 'Listen to your agents’ calls, unheard.', siUser: 'User', siPassword: 'Password', siShow: 'Show password', siToken: 'API token',
  siByToken: 'Use a token instead', siByPassword: 'Use a password instead', siGo: 'Sign in', siBusy: 'Signing in',
  siWrong: 'The user or the password is not right.', siWrongToken: 'This token is not valid, or not any more.',
  siWait: { one: 'Too many tries. Try again in {n} second.', other: 'Too many tries. Try again in {n} seconds.' }, siNeedUser: 'Write your user.',
  siNeedPassword: 'Write your password.', siNeedToken: 'Write or paste a token.', siExpired: 'Your session has ended',
  siExpiredHint: 'Sign in again to go on where you were. What you typed is kept.',
  siFirst: 'First start? The engine printed a token for the first administrator where it was started.',
  c_busy: 'The engine is busy. Try again in a moment.',
  c_internal: 'A fault in the engine. Its log says more: give the reference to whoever runs it.',
  c_unreachable: 'The engine does not answer. Check your network and try again.', c_unknown: 'The engine refused: {d}',
};

export const signin: Words<keyof typeof en> = {
  en,
  nb: {
    siLead: 'Lytt til agentenes samtaler, uten å bli hørt.', siUser: 'Bruker', siPassword: 'Passord', siShow: 'Vis passordet', siToken: 'API-nøkkel',
    siByToken: 'Bruk en API-nøkkel i stedet', siByPassword: 'Bruk passord i stedet', siGo: 'Logg inn', siBusy: 'Logger inn',
    siWrong: 'Bruker eller passord stemmer ikke.', siWrongToken: 'Denne nøkkelen er ikke gyldig, eller ikke lenger.',
    siWait: { one: 'For mange forsøk. Prøv igjen om {n} sekund.', other: 'For mange forsøk. Prøv igjen om {n} sekunder.' },
    siNeedUser: 'Skriv brukeren din.', siNeedPassword: 'Skriv passordet ditt.', siNeedToken: 'Skriv eller lim inn en nøkkel.',
    siExpired: 'Økten din er utløpt', siExpiredHint: 'Logg inn igjen for å fortsette der du var. Det du har skrevet, er tatt vare på.',
    siFirst: 'Første oppstart? Motoren skrev ut en nøkkel til den første administratoren der den ble startet.',
    c_busy: 'Motoren er opptatt. Prøv igjen om litt.', c_internal: 'En feil i motoren. Loggen sier mer: gi referansen til den som drifter den.',
    c_unreachable: 'Motoren svarer ikke. Sjekk nettet og prøv igjen.', c_unknown: 'Motoren avviste det: {d}',
  },
  da: {
    siLead: 'Lyt til agenternes opkald uden at blive hørt.', siUser: 'Bruger', siPassword: 'Adgangskode', siShow: 'Vis adgangskoden',
    siToken: 'API-nøgle', siByToken: 'Brug en API-nøgle i stedet', siByPassword: 'Brug en adgangskode i stedet', siGo: 'Log ind',
    siBusy: 'Logger ind', siWrong: 'Bruger eller adgangskode er forkert.', siWrongToken: 'Denne nøgle er ikke gyldig, eller ikke længere.',
    siWait: { one: 'For mange forsøg. Prøv igen om {n} sekund.', other: 'For mange forsøg. Prøv igen om {n} sekunder.' },
    siNeedUser: 'Skriv din bruger.', siNeedPassword: 'Skriv din adgangskode.', siNeedToken: 'Skriv eller indsæt en nøgle.',
    siExpired: 'Din session er udløbet', siExpiredHint: 'Log ind igen for at fortsætte, hvor du var. Det, du har skrevet, er gemt.',
    siFirst: 'Første start? Motoren udskrev en nøgle til den første administrator dér, hvor den blev startet.',
    c_busy: 'Motoren er optaget. Prøv igen om lidt.', c_internal: 'En fejl i motoren. Dens log siger mere: giv referencen til den, der driver den.',
    c_unreachable: 'Motoren svarer ikke. Kontrollér dit net, og prøv igen.', c_unknown: 'Motoren afviste det: {d}',
  },
  sv: {
    siLead: 'Lyssna på agenternas samtal utan att höras.', siUser: 'Användare', siPassword: 'Lösenord', siShow: 'Visa lösenordet',
    siToken: 'API-nyckel', siByToken: 'Använd en API-nyckel i stället', siByPassword: 'Använd lösenord i stället', siGo: 'Logga in',
    siBusy: 'Loggar in', siWrong: 'Användaren eller lösenordet stämmer inte.', siWrongToken: 'Nyckeln är inte giltig, eller inte längre.',
    siWait: { one: 'För många försök. Försök igen om {n} sekund.', other: 'För många försök. Försök igen om {n} sekunder.' },
    siNeedUser: 'Skriv din användare.', siNeedPassword: 'Skriv ditt lösenord.', siNeedToken: 'Skriv eller klistra in en nyckel.',
    siExpired: 'Din session har gått ut', siExpiredHint: 'Logga in igen för att fortsätta där du var. Det du har skrivit finns kvar.',
    siFirst: 'Första starten? Motorn skrev ut en nyckel till den första administratören där den startades.',
    c_busy: 'Motorn är upptagen. Försök igen om en stund.',
    c_internal: 'Ett fel i motorn. Loggen säger mer: ge referensen till den som sköter driften.',
    c_unreachable: 'Motorn svarar inte. Kontrollera nätet och försök igen.', c_unknown: 'Motorn avvisade det: {d}',
  },
};
