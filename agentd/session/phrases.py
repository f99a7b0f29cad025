"""The few sentences that agentd says of its own accord, by language. An agent's author writes all others."""

from __future__ import annotations

from typing import Literal

Phrase = Literal[
    "bridge",
    "bridge_say_again",
    "trouble",
    "goodbye_time",
    "goodbye_idle",
    "warning_time",
    "transfer",
    "consent",
    "consent_spoken",
    "consent_keys",
    "yes",
    "no",
    "queue",
    "queue_timeout",
]

_PHRASES: dict[str, dict[Phrase, str]] = {
    "en": {
        "bridge": "Sorry, I lost you for a moment.",
        "bridge_say_again": "Sorry, I lost you for a moment. Could you say that again?",
        "trouble": "Sorry, I have trouble answering right now. Please try again.",
        "warning_time": "Our time is almost up.",
        "goodbye_time": "I'm sorry, our time is up. Goodbye.",
        "transfer": "One moment, I'll put you through.",
        "goodbye_idle": "I can't hear anybody, so I'll hang up. Goodbye.",
        "consent": "Please confirm: {what}.",
        "consent_spoken": "Is that right?",
        "consent_keys": "Press 1 for yes, or 2 for no.",
        "yes": "yes",
        "no": "no",
        "queue": "All lines are busy. You are number {{ position }} in the queue.",
        "queue_timeout": "I'm sorry, all lines are still busy. Please call again later. Goodbye.",
    },
    "de": {
        "bridge": "Entschuldigung, Sie waren kurz weg.",
        "bridge_say_again": "Entschuldigung, Sie waren kurz weg. Können Sie das bitte wiederholen?",
        "trouble": "Entschuldigung, ich kann gerade nicht antworten. Bitte versuchen Sie es noch einmal.",
        "warning_time": "Unsere Zeit ist gleich um.",
        "goodbye_time": "Es tut mir leid, unsere Zeit ist um. Auf Wiederhören.",
        "transfer": "Einen Moment, ich verbinde Sie.",
        "goodbye_idle": "Ich höre niemanden und lege jetzt auf. Auf Wiederhören.",
        "consent": "Bitte bestätigen Sie: {what}.",
        "consent_spoken": "Ist das richtig?",
        "consent_keys": "Drücken Sie 1 für ja oder 2 für nein.",
        "yes": "ja",
        "no": "nein",
        "queue": "Alle Leitungen sind belegt. Sie sind Nummer {{ position }} in der Schlange.",
        "queue_timeout": "Es tut mir leid, noch immer sind alle Leitungen belegt. Auf Wiederhören.",
    },
    "fr": {
        "bridge": "Excusez-moi, la ligne a été coupée un instant.",
        "bridge_say_again": "Excusez-moi, la ligne a été coupée un instant. Pouvez-vous répéter ?",
        "trouble": "Excusez-moi, je n'arrive pas à répondre pour le moment. Veuillez réessayer.",
        "warning_time": "Notre temps est presque écoulé.",
        "goodbye_time": "Je suis désolé, notre temps est écoulé. Au revoir.",
        "transfer": "Un instant, je vous mets en relation.",
        "goodbye_idle": "Je n'entends personne, je vais raccrocher. Au revoir.",
        "consent": "Merci de confirmer : {what}.",
        "consent_spoken": "Est-ce exact ?",
        "consent_keys": "Appuyez sur 1 pour oui, ou sur 2 pour non.",
        "yes": "oui",
        "no": "non",
        "queue": "Toutes nos lignes sont occupées. Vous êtes numéro {{ position }} dans la file.",
        "queue_timeout": "Je suis désolé, nos lignes sont encore toutes occupées. Au revoir.",
    },
    "es": {
        "bridge": "Perdone, se ha cortado un momento.",
        "bridge_say_again": "Perdone, se ha cortado un momento. ¿Puede repetirlo?",
        "trouble": "Perdone, ahora mismo no puedo responder. Inténtelo de nuevo.",
        "warning_time": "Se nos está acabando el tiempo.",
        "goodbye_time": "Lo siento, se nos ha acabado el tiempo. Adiós.",
        "transfer": "Un momento, le paso.",
        "goodbye_idle": "No oigo a nadie, así que voy a colgar. Adiós.",
        "consent": "Confirme, por favor: {what}.",
        "consent_spoken": "¿Es correcto?",
        "consent_keys": "Pulse 1 para sí o 2 para no.",
        "yes": "sí",
        "no": "no",
        "queue": "Todas las líneas están ocupadas. Es usted el número {{ position }} de la cola.",
        "queue_timeout": "Lo siento, todas las líneas siguen ocupadas. Adiós.",
    },
}


def phrase(name: Phrase, language: str) -> str:
    """In the language of the BCP 47 tag, or in English."""
    return _PHRASES.get(language.split("-")[0].lower(), _PHRASES["en"])[name]
