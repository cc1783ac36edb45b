// The listening card while nothing rings, and what a ring says.
import type { Words } from './index.svelte';

const en = {
  'lis.now': 'Listening now', 'lis.ringing': 'Calling you', 'lis.none': 'Nothing to listen to yet',
  'lis.noneHint': 'When a monitored agent has a call, the caller’s number, the access number and the queue show here.',
  'lis.incoming': '{n} has a call. Answer to listen.', 'lis.settings': 'Ringing and answering', 'lis.ringSound': 'Ring sound',
  'lis.ringOn': 'Turn on ring sound', 'lis.ringHonest': 'Your browser plays no sound on this page until you have clicked on it once.',
  'lis.notify': 'Show notifications', 'lis.notifyOn': 'Notifications are on.',
  'lis.notifyOff': 'Notifications are blocked in the browser’s settings.', 'lis.answerBy': 'Answer by itself', 'lis.answer.click': 'Never',
  'lis.answer.order': 'If I ordered a moment ago', 'lis.answer.always': 'Always',
};

export const listen: Words<keyof typeof en> = {
  en,
  nb: {
    'lis.now': 'Lytter nå', 'lis.ringing': 'Ringer deg', 'lis.none': 'Ingenting å lytte til ennå',
    'lis.noneHint': 'Når en overvåket agent har en samtale, vises innringerens nummer, tilgangsnummeret og køen her.',
    'lis.incoming': '{n} har en samtale. Svar for å lytte.', 'lis.settings': 'Ringing og svar', 'lis.ringSound': 'Ringelyd',
    'lis.ringOn': 'Slå på ringelyd', 'lis.ringHonest': 'Nettleseren spiller ingen lyd på denne siden før du har klikket på den én gang.',
    'lis.notify': 'Vis varsler', 'lis.notifyOn': 'Varsler er på.', 'lis.notifyOff': 'Varsler er blokkert i nettleserens innstillinger.',
    'lis.answerBy': 'Svar av seg selv', 'lis.answer.click': 'Aldri', 'lis.answer.order': 'Hvis jeg nettopp bestilte', 'lis.answer.always': 'Alltid',
  },
  da: {
    'lis.now': 'Lytter nu', 'lis.ringing': 'Ringer til dig', 'lis.none': 'Intet at lytte til endnu',
    'lis.noneHint': 'Når en overvåget agent har et opkald, vises henvenderens nummer, adgangsnummeret og køen her.',
    'lis.incoming': '{n} har et opkald. Svar for at lytte.', 'lis.settings': 'Ringning og svar', 'lis.ringSound': 'Ringelyd',
    'lis.ringOn': 'Slå ringelyd til', 'lis.ringHonest': 'Browseren afspiller ingen lyd på denne side, før du har klikket på den én gang.',
    'lis.notify': 'Vis notifikationer', 'lis.notifyOn': 'Notifikationer er slået til.',
    'lis.notifyOff': 'Notifikationer er blokeret i browserens indstillinger.', 'lis.answerBy': 'Svar automatisk', 'lis.answer.click': 'Aldrig',
    'lis.answer.order': 'Hvis jeg lige har bestilt', 'lis.answer.always': 'Altid',
  },
  sv: {
    'lis.now': 'Lyssnar nu', 'lis.ringing': 'Ringer dig', 'lis.none': 'Inget att lyssna på än',
    'lis.noneHint': 'När en övervakad agent har ett samtal visas uppringarens nummer, åtkomstnumret och kön här.',
    'lis.incoming': '{n} har ett samtal. Svara för att lyssna.', 'lis.settings': 'Ringning och svar', 'lis.ringSound': 'Ringsignal',
    'lis.ringOn': 'Slå på ringsignal', 'lis.ringHonest': 'Webbläsaren spelar inget ljud på sidan förrän du har klickat på den en gång.',
    'lis.notify': 'Visa aviseringar', 'lis.notifyOn': 'Aviseringar är på.',
    'lis.notifyOff': 'Aviseringar är blockerade i webbläsarens inställningar.', 'lis.answerBy': 'Svara automatiskt', 'lis.answer.click': 'Aldrig',
    'lis.answer.order': 'Om jag nyss beställde', 'lis.answer.always': 'Alltid',
  },
};
