"""One shape for every failure, and every error code of the API (60000 to 60133) with the status and the words that it comes with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KNOWN: dict[int, tuple[int, str]] = {
    60000: (400, "Generic error"),
    60001: (401, "Invalid API key"),
    60002: (400, "Invalid request"),
    60003: (429, "Too many requests. Try again later."),
    60004: (400, "Invalid parameter"),
    60005: (400, "Invalid UTF-8"),
    60006: (503, "Phone calls are not enabled on this account"),
    60007: (503, "SMS is not enabled"),
    60015: (503, "SMS token was not sent"),
    60016: (404, "User doesn't exist"),
    60017: (503, "User has been suspended."),
    60019: (401, "Token is invalid. Token was used recently"),
    60020: (401, "Token is invalid"),
    60021: (403, "Phone verification couldn't be created"),
    60022: (401, "Verification code is incorrect"),
    60023: (404, "No pending verifications found."),
    60025: (500, "Server error while querying phone information. Please try again later"),
    60026: (404, "User not found."),
    60027: (400, "User was not valid"),
    60032: (400, "SMS not found"),
    60033: (400, "Phone number is invalid"),
    60042: (400, "Either uuid, or country_code and phone_number, are required"),
    60046: (400, "Dashboard account ids are missing"),
    60049: (404, "Approval request not found"),
    60060: (503, "Twilio account suspended"),
    60064: (403, "OneTouch could not be enabled"),
    60065: (403, "OneTouch must be enabled first"),
    60066: (403, "Callback information was not saved"),
    60069: (400, "Access key was not saved"),
    60070: (400, "Application is invalid"),
    60071: (404, "Access key not found"),
    60072: (404, "Access key is invalid"),
    60073: (400, "Invalid application API key"),
    60074: (400, "Access key lacks permission"),
    60075: (400, "Application cannot be deleted"),
    60078: (403, "Country code is not supported"),
    60082: (403, "Cannot send SMS to landline phone numbers"),
    60083: (403, "Phone number is not provisioned with any carrier"),
}
# Of these the status is not on record, nor are the words: both are guessed, in the spirit of their neighbours.
_GUESSED: dict[int, tuple[int, str]] = {
    60008: (503, "Account has been suspended"),
    60009: (503, "Monthly SMS limit reached"),
    60010: (503, "Daily SMS limit reached"),
    60011: (503, "Monthly calls limit reached"),
    60012: (503, "Daily calls limit reached"),
    60013: (403, "Country is banned"),
    60014: (503, "Call was not started"),
    60018: (403, "User is disabled"),
    60024: (400, "Cannot get phone information"),
    60028: (400, "User could not be deleted"),
    60029: (400, "Activity was not created"),
    60030: (400, "User parameters are incorrect"),
    60031: (403, "Action is not authorised"),
    60034: (400, "Registration request is invalid"),
    60035: (404, "Registration request not found"),
    60036: (401, "Registration pin is wrong"),
    60037: (400, "Registration request has expired"),
    60038: (400, "Email is invalid"),
    60047: (401, "A Twilio API key was used instead of an Authy API key"),
    60050: (400, "User is not registered with an app that can receive approval requests"),
    60051: (400, "Device not found"),
    60052: (503, "OneTouch connection error"),
    60053: (503, "OneTouch sending error"),
    60054: (503, "OneTouch request error"),
    60055: (503, "OneTouch could not notify the customer"),
    60056: (400, "SSL is required"),
    60057: (503, "Account has been suspended temporarily"),
    60058: (404, "Phone number not found"),
    60059: (400, "Phone number is invalid"),
    60061: (403, "Application has been suspended"),
    60063: (403, "IP address is not allowed"),
    60068: (400, "Device registration setting could not be updated"),
    60079: (400, "Approval request is not pending"),
    60080: (400, "Approval request is invalid"),
    60086: (401, "JWT has expired"),
    60087: (401, "JWT signature is invalid"),
    60089: (400, "Reporting error"),
    60090: (400, "Registration request was not created"),
    60091: (403, "Custom message is not allowed"),
    60092: (404, "Device not found"),
    60093: (400, "SDK device was not deleted"),
    60094: (400, "Reporting error"),
    60095: (400, "Reporting error"),
    60096: (400, "Reporting error"),
    60097: (400, "Phone change is in progress"),
    60098: (400, "Webhook was not created"),
    60099: (400, "Webhooks could not be listed"),
    60100: (400, "Webhook was not deleted"),
    60101: (401, "JWT is invalid"),
    60102: (400, "Push certificate error"),
    60103: (400, "Push certificate error"),
    60104: (400, "Push notification error"),
    60105: (400, "Push notification error"),
    60106: (403, "User has been suspended from this application"),
    60107: (403, "User is blocked"),
    60108: (400, "Channel is invalid"),
    60109: (400, "Channel error"),
    60110: (400, "Authentication method is invalid"),
    60111: (400, "Authentication method error"),
    60112: (400, "Authenticator is invalid"),
    60113: (400, "Authenticator error"),
    60114: (404, "Authenticator not found"),
    60115: (403, "Phone number has opted out"),
    60116: (400, "Phone verification JWT has bad parameters"),
    60117: (404, "Application not found"),
    60118: (401, "TOTP code is invalid"),
    60119: (400, "A user without personal data is required"),
    60120: (429, "SMS limit reached"),
    60121: (400, "SMS is invalid"),
    60122: (400, "QR code could not be generated"),
    60123: (403, "The application does not have Generic Tokens enabled"),
    60124: (404, "Account not found"),
    60125: (400, "SDK app is invalid"),
    60126: (400, "HLR report error"),
    60127: (400, "User is pending deletion"),
    60128: (404, "User was deleted"),
    60129: (404, "Public key not found"),
    60130: (400, "User deletion is ongoing"),
    60131: (400, "User deletion failed"),
    60132: (400, "User deletion is incomplete"),
    60133: (400, "CLNPC error"),
}

CODES: Mapping[int, tuple[int, str]] = {**_KNOWN, **_GUESSED}
GUESSED = frozenset(_GUESSED)


class ApiError(Exception):
    """An answer other than 200, in the API's own shape.

    `fields` are the bad fields of a validation error (said twice, as the service does); `named` are members of the top level alone.
    """

    def __init__(self, status: int, code: int, message: str, *, fields: Mapping[str, str] | None = None, named: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message, "success": False, **(fields or {}), **(named or {})}
        self.body["errors"] = {**(fields or {}), "message": message}
        self.body["error_code"] = str(code)


def failure(code: int, message: str = "", *, status: int = 0, fields: Mapping[str, str] | None = None, named: Mapping[str, str] | None = None) -> ApiError:
    """The error with that code, in its usual words and status unless told others; `fields` and `named` as in `ApiError`."""
    usual, words = CODES[code]
    error = ApiError(status or usual, code, message or words, fields=fields, named=named)
    # Two have a shape of their own, whatever they come of.
    if code == 60020:
        error.body |= {"token": "is invalid"}
    if code == 60049:
        error.body["errors"] = {}
    return error


def invalid(message: str, *, status: int = 0) -> ApiError:
    """The error for a request that cannot be read (60002)."""
    return failure(60002, message, status=status)


def bad_parameter(name: str, reason: str) -> ApiError:
    """The error for one parameter (60004)."""
    return failure(60004, f"Invalid parameter: {name} - {reason}")
