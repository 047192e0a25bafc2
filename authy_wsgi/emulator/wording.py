"""What messages and calls say, in the languages that the simulator has; any other `locale` reads English."""

from __future__ import annotations

ENGLISH = "en"

# A code for a user, a code of phone verification, and what phones/verification/start says of a text and of a call.
# Of all these only the English ones and the Spanish sentence for a call are on record.
_WORDS = {
    "de": ("Ihr Code für {app} ist {code}", "Ihr Bestätigungscode für {app} lautet: {code}", "SMS an {number} gesendet.", "Anruf an {number} begonnen."),
    "en": ("Your {app} code is {code}", "Your {app} verification code is: {code}", "Text message sent to {number}.", "Call to {number} initiated."),
    "es": ("Su código de {app} es {code}", "Su código de verificación de {app} es: {code}", "Mensaje enviado a {number}.", "Llamada a {number} fue iniciada."),
    "fr": ("Votre code {app} est {code}", "Votre code de vérification {app} est : {code}", "SMS envoyé à {number}.", "Appel vers {number} lancé."),
    "it": ("Il tuo codice {app} è {code}", "Il tuo codice di verifica {app} è: {code}", "SMS inviato a {number}.", "Chiamata a {number} avviata."),
    "nl": ("Uw code voor {app} is {code}", "Uw verificatiecode voor {app} is: {code}", "Sms verzonden naar {number}.", "Oproep naar {number} gestart."),
    "pt": ("Seu código {app} é {code}", "Seu código de verificação {app} é: {code}", "Mensagem enviada para {number}.", "Chamada para {number} iniciada."),
}


def language(locale: str) -> str:
    """The language for a `locale` such as `es` or `pt-BR`."""
    told = locale.strip().lower().replace("_", "-").partition("-")[0]
    return told if told in _WORDS else ENGLISH


def code_message(locale: str, app: str, code: str) -> str:
    """An SMS, call or e-mail with a user's code."""
    return _WORDS[language(locale)][0].format(app=app, code=code)


def verification_message(locale: str, app: str, code: str) -> str:
    """An SMS or call with a code of phone verification."""
    return _WORDS[language(locale)][1].format(app=app, code=code)


def started(locale: str, via: str, number: str) -> str:
    """What phones/verification/start answers."""
    return _WORDS[language(locale)][2 if via == "sms" else 3].format(number=number)
