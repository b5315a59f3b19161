//! A Twilio account that sends on WhatsApp, read as people write its parts.

use std::fmt;

use reqwest::Url;
use secrecy::SecretString;

/// A Twilio account that sends on WhatsApp.
#[derive(Clone)]
pub struct WhatsAppSettings {
    /// The account, `AC…`; fit for a path.
    pub account_sid: String,
    /// Its token.
    pub auth_token: SecretString,
    /// The sender: `whatsapp:+43…`, or a messaging service, `MG…`.
    pub from: String,
    /// The reviewer: `whatsapp:+43…`.
    pub to: String,
    /// The approved template that is used outside of the 24-hour session, `HX…`.
    pub content_sid: Option<String>,
    /// Where Twilio's API is, without a path of Twilio's.
    pub api_url: Url,
}

impl fmt::Debug for WhatsAppSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Numbers are personal data; the rest is no secret.
        f.debug_struct("WhatsAppSettings")
            .field("account_sid", &self.account_sid)
            .field("content_sid", &self.content_sid)
            .field("api_url", &self.api_url.as_str())
            .finish_non_exhaustive()
    }
}

/// One of Twilio's ids: its two letters, then letters and digits. It becomes a part of a path.
pub(super) fn sid(text: &str, letters: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match text.strip_prefix(letters) {
        Some(rest) if !rest.is_empty() && rest.chars().all(plain) => Ok(text.to_owned()),
        _ => Err(format!("must be {letters} and letters and digits, as the Twilio console shows it")),
    }
}

/// Who sends: a number, or a messaging service.
pub(super) fn sender(text: &str) -> Result<String, String> {
    if text.starts_with("MG") { sid(text, "MG") } else { number(text) }
}

/// `whatsapp:+431555…`: people write numbers with blanks, dashes and brackets, and with 00 for the plus.
pub(super) fn number(text: &str) -> Result<String, String> {
    let text = text.strip_prefix("whatsapp:").unwrap_or(text);
    let kept: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '/' | '(' | ')' | '.')).collect();
    let digits = kept.strip_prefix('+').or_else(|| kept.strip_prefix("00")).unwrap_or(&kept);
    // E.164: at most 15 digits, and no country begins with 0.
    let is_one = (7..=15).contains(&digits.len())
        && digits.chars().all(|c| c.is_ascii_digit())
        && !digits.starts_with('0');
    if is_one {
        Ok(format!("whatsapp:+{digits}"))
    } else {
        Err("must be a telephone number with its country, such as +43155501234 or whatsapp:+43155501234"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for text in
            ["+43 1 555 01 23", "whatsapp:+4315550123", "0043 (1) 555-0123", "+43/1/5550123 ", "4315550123"]
        {
            assert_eq!(number(text).unwrap(), "whatsapp:+4315550123", "{text}");
        }
        for text in ["", "01 555 01 23", "+0 1234567", "+43", "me", "+4315550123456789"] {
            assert!(number(text).is_err(), "{text}");
        }
        assert_eq!(sender("MG0123").unwrap(), "MG0123");
        assert_eq!(sender("+43 1 555 01 23").unwrap(), "whatsapp:+4315550123");
    }

    #[test]
    fn an_id_that_becomes_a_part_of_a_path_holds_no_path() {
        assert_eq!(sid("AC0123abc", "AC").unwrap(), "AC0123abc");
        for text in ["", "AC", "SK0123", "AC/../x", "AC 1", "ACü"] {
            assert!(sid(text, "AC").is_err(), "{text}");
        }
    }
}
