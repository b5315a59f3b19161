//! What Twilio's error numbers mean for whoever set WhatsApp up: <https://www.twilio.com/docs/api/errors>.

use std::time::Duration;

use crate::channels::Outcome;
use crate::channels::http::words;

/// Free-form text outside of the 24 hours after the person last wrote.
pub(super) const OUTSIDE_OF_SESSION: u64 = 63_016;

/// What became of a message that failed with `code`, or with `status` where there is no code.
pub(super) fn judge(code: u64, status: u16, message: &str, after: Option<Duration>) -> Outcome {
    let message = words(message);
    let said = match code {
        0 => format!("{status} {message}").trim_end().to_owned(),
        code => format!("error {code}"),
    };
    if let Some((reason, pause)) = passing(code) {
        let reason = format!("Twilio: {reason} ({said})");
        return Outcome::TryAgain { after: after.or(pause), reason, unclear: false };
    }
    let what = match code {
        0 => by_status(status).to_owned(),
        code => what_to_do(code).map_or_else(
            || format!("{message}; see https://www.twilio.com/docs/api/errors/{code}"),
            str::to_owned,
        ),
    };
    Outcome::GiveUp { reason: format!("Twilio refuses ({said}): {what}") }
}

/// Whether an error with this number passes by itself.
pub(super) fn passes(code: u64) -> bool {
    passing(code).is_some()
}

/// What passes by itself, and how long it usually takes.
fn passing(code: u64) -> Option<(&'static str, Option<Duration>)> {
    let minutes = |minutes: u64| Some(Duration::from_secs(minutes * 60));
    Some(match code {
        20_429 => ("too many requests at once", None),
        20_500 | 20_503 => ("trouble of its own", None),
        14_107 | 30_022 => ("too many messages a second", minutes(1)),
        30_001 => ("too many messages are waiting to be sent", minutes(10)),
        63_010 | 63_012 => ("WhatsApp has trouble of its own", minutes(2)),
        63_018 => ("more messages a second than the WhatsApp sender may send", minutes(1)),
        63_038 => ("the account has sent its messages of the day; a trial account has few", minutes(180)),
        _ => return None,
    })
}

/// What a person can do.
fn what_to_do(code: u64) -> Option<&'static str> {
    Some(match code {
        20_003 => {
            "VORHOELLE_TWILIO_ACCOUNT_SID and VORHOELLE_TWILIO_AUTH_TOKEN do not belong together, or the token was \
             renewed; copy both from the Twilio console"
        }
        10_001 | 20_005 | 20_403 | 30_002 => {
            "the account is suspended or closed; the Twilio console says why"
        }
        63_020 | 63_051 => {
            "WhatsApp has a problem with the business account, often its payment; Meta's Business Manager says what"
        }
        20_404 => "there is no such account; look whether VORHOELLE_TWILIO_ACCOUNT_SID is right",
        21_211 | 21_614 => {
            "VORHOELLE_TWILIO_TO is no number that exists; write it with its country, such as +43155501234"
        }
        21_212 | 21_606 | 21_659 => {
            "VORHOELLE_TWILIO_FROM is no number of this account; the Twilio console lists the WhatsApp senders"
        }
        21_608 => {
            "a trial account writes only to numbers that were verified; verify VORHOELLE_TWILIO_TO in the Twilio \
             console, or upgrade the account"
        }
        21_610 => "the reviewer wrote STOP to this sender; they have to write START to it",
        21_617 => "the message is too long; if templates/whatsapp was changed, go back to the original",
        21_655 | 21_658 => {
            "there is no such template in this account; look whether VORHOELLE_TWILIO_CONTENT_SID is right"
        }
        21_656 | 92_007 => {
            "the values do not fit the template; if templates/whatsapp was changed, go back to the original"
        }
        21_703 | 21_705 => {
            "the messaging service in VORHOELLE_TWILIO_FROM has no WhatsApp sender; add it there"
        }
        63_001 | 63_002 => "WhatsApp does not accept the sender; the Twilio console shows its state",
        63_003 | 63_024 => {
            "VORHOELLE_TWILIO_TO is not on WhatsApp, or does not take messages from businesses; look whether the number \
             is right"
        }
        63_007 => {
            "VORHOELLE_TWILIO_FROM is no WhatsApp sender of this account; take one that the Twilio console lists under \
             WhatsApp senders, or the sandbox's own number"
        }
        63_013 => "WhatsApp sees its rules broken; the Twilio console shows what it says of the sender",
        63_015 => {
            "the sandbox writes only to those who joined it, and forgets them after 3 days; send `join` and the \
             sandbox's two words from the reviewer's WhatsApp to the sandbox's number"
        }
        OUTSIDE_OF_SESSION => {
            "more than 24 hours have passed since the reviewer last wrote, and outside of that WhatsApp takes only \
             approved templates; set VORHOELLE_TWILIO_CONTENT_SID, or write any word to the sender from the reviewer's \
             WhatsApp"
        }
        63_027 => {
            "the template does not exist in its language at WhatsApp; the Twilio console shows its state"
        }
        63_028 => {
            "the template has another number of variables than templates/whatsapp/variables has lines; the original \
             has four: {{1}} to {{4}}"
        }
        63_032 | 63_049 => {
            "WhatsApp chose not to show this message to the reviewer; a message from them opens the session"
        }
        63_040..=63_042 => "WhatsApp rejected, paused or disabled the template; the Twilio console says why",
        _ => return None,
    })
}

/// Where no code came with it.
fn by_status(status: u16) -> &'static str {
    match status {
        // A message that failed afterwards.
        200..=299 => "the Twilio console may say why, under its logs",
        401 | 403 => what_to_do(20_003).unwrap_or_default(),
        301..=308 | 404 => {
            "there is nothing at this address; look whether VORHOELLE_TWILIO_ACCOUNT_SID and VORHOELLE_TWILIO_API_URL \
             are right"
        }
        _ => "that is nothing that Twilio documents; look whether VORHOELLE_TWILIO_API_URL is right",
    }
}
