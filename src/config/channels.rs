//! How messages leave: mail servers, Slack, Twilio, Gmail, as the environment names them.

use std::path::PathBuf;

use lettre::message::Mailbox;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::whatsapp::{self, WhatsAppSettings};
use super::{Environment, SettingsError};

/// Where Gmail's API is unless it is said.
const GMAIL_API: &str = "https://gmail.googleapis.com";
/// Where Google gives out access tokens unless it is said.
const GMAIL_TOKEN: &str = "https://oauth2.googleapis.com/token";
/// Where Twilio's API is unless it is said.
const TWILIO_API: &str = "https://api.twilio.com";

/// The channels whose variables are set.
#[derive(Clone, Debug, Default)]
pub struct ChannelSettings {
    /// E-mail.
    pub mail: Option<MailSettings>,
    /// Slack's incoming webhook; its address is the secret.
    pub slack: Option<SecretString>,
    /// WhatsApp through Twilio.
    pub whatsapp: Option<WhatsAppSettings>,
}

/// Who writes to whom, and through what.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// The sender.
    pub from: Mailbox,
    /// The reviewers' addresses; each gets a message of their own.
    pub to: Vec<Mailbox>,
    /// Through what.
    pub mailer: Mailer,
}

/// Through what mails leave.
#[derive(Clone, Debug)]
pub enum Mailer {
    /// A mail server.
    Smtp(SmtpSettings),
    /// A folder that each mail is written to as an `.eml` file.
    Folder(PathBuf),
    /// Gmail's API.
    Gmail(GmailSettings),
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// Its name; its certificate must carry it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept secret.
    pub security: SmtpSecurity,
    /// User and password.
    pub credentials: Option<(String, SecretString)>,
}

/// How the connection to a mail server is kept secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// Not at all.
    None,
    /// It begins in the clear and turns to TLS before anything is said; a server that cannot is refused.
    StartTls,
    /// TLS from the first byte on.
    Tls,
}

/// A Google application that may send as its user.
#[derive(Clone, Debug)]
pub struct GmailSettings {
    /// The application.
    pub app: GoogleAppSettings,
    /// What `vorhoelle gmail login` printed.
    pub refresh_token: SecretString,
    /// Where Gmail's API is.
    pub api_url: Url,
}

/// A client of the type “Desktop app” in the Google console.
#[derive(Clone, Debug)]
pub struct GoogleAppSettings {
    /// Its id; no secret.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// Where tokens are given out.
    pub token_url: Url,
}

impl Environment {
    /// The channels whose variables are set.
    pub(super) fn channels(&self, errors: &mut Vec<String>) -> ChannelSettings {
        ChannelSettings {
            mail: self.mail(errors),
            slack: self.slack(errors),
            whatsapp: self.whatsapp(errors),
        }
    }

    /// The Google application that `vorhoelle gmail login` asks consent for.
    ///
    /// # Errors
    ///
    /// Where a part of it is missing or wrong.
    pub fn google_application(&self) -> Result<GoogleAppSettings, SettingsError> {
        let mut errors = Vec::new();
        self.google_app(&mut errors).ok_or(SettingsError(errors))
    }

    fn mail(&self, errors: &mut Vec<String>) -> Option<MailSettings> {
        let before = errors.len();
        let folder = self.get("MAIL_FILE_DIR").map(|path| Mailer::Folder(PathBuf::from(path)));
        let smtp = self.secret("SMTP_URL", errors).and_then(|url| {
            let read = smtp(url.expose_secret());
            read.map_err(|error| errors.push(format!("VORHOELLE_SMTP_URL: {error}"))).ok()
        });
        let gmail = self.gmail(errors);
        if smtp.is_some() && gmail.is_some() && folder.is_none() {
            errors.push(
                "VORHOELLE_SMTP_URL and VORHOELLE_GMAIL_REFRESH_TOKEN are both set; keep the one that mails shall leave through"
                    .to_owned(),
            );
        }
        let mailer = folder.or(smtp.map(Mailer::Smtp)).or(gmail.map(Mailer::Gmail));
        let is_said = errors.len() > before;
        let from = self.get("MAIL_FROM").map(|text| self.mailbox("MAIL_FROM", text, errors));
        let to = self.get("MAIL_TO").map(|text| {
            let all: Vec<_> =
                text.split(',').map(|one| self.mailbox("MAIL_TO", one.trim(), errors)).collect();
            all
        });
        let mailer = match (mailer, &from, &to) {
            (Some(mailer), Some(_), Some(_)) => mailer,
            (None, None, None) => return None,
            (None, ..) => {
                // What is wrong with a mailer has been said; that none is there has not.
                if !is_said {
                    errors.push(
                        "VORHOELLE_MAIL_FROM or VORHOELLE_MAIL_TO is set and nothing to send through; set \
                         VORHOELLE_SMTP_URL, VORHOELLE_MAIL_FILE_DIR or the VORHOELLE_GMAIL_… variables"
                            .to_owned(),
                    );
                }
                return None;
            }
            (Some(_), from, to) => {
                for (name, there) in [("MAIL_FROM", from.is_some()), ("MAIL_TO", to.is_some())] {
                    if !there {
                        errors.push(format!(
                            "VORHOELLE_{name} is missing: mails need a sender and a recipient"
                        ));
                    }
                }
                return None;
            }
        };
        Some(MailSettings { from: from??, to: to?.into_iter().collect::<Option<Vec<_>>>()?, mailer })
    }

    fn mailbox(&self, name: &str, text: &str, errors: &mut Vec<String>) -> Option<Mailbox> {
        let mailbox = text.parse::<Mailbox>().map_err(|_| {
            format!("VORHOELLE_{name}: must be an e-mail address such as anna@example.com or Anna <anna@example.com>")
        });
        let plain = mailbox.and_then(|mailbox| {
            // Most servers take no other letters, and say so only when the mail is on its way.
            match (mailbox.email.user().is_ascii(), mailbox.email.domain().is_ascii()) {
                (true, true) => Ok(mailbox),
                (false, _) => Err(format!("VORHOELLE_{name}: the part before the @ must be plain ASCII")),
                (true, false) => Err(format!("VORHOELLE_{name}: write the domain as xn--…, in plain ASCII")),
            }
        });
        plain.map_err(|error| errors.push(error)).ok()
    }

    fn slack(&self, errors: &mut Vec<String>) -> Option<SecretString> {
        let url = self.secret("SLACK_WEBHOOK_URL", errors)?;
        let fine = Url::parse(url.expose_secret())
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !fine {
            errors.push("VORHOELLE_SLACK_WEBHOOK_URL: must be the address of an incoming webhook, https://hooks.slack.com/…".to_owned());
        }
        fine.then_some(url)
    }

    fn whatsapp(&self, errors: &mut Vec<String>) -> Option<WhatsAppSettings> {
        let before = errors.len();
        let auth_token = self.secret("TWILIO_AUTH_TOKEN", errors);
        // What is wrong with one has been said.
        let is_said = errors.len() > before;
        let api_url = self.url("TWILIO_API_URL", errors).or_else(|| Url::parse(TWILIO_API).ok())?;
        let said = |name: &str| self.get(name).map(str::to_owned);
        let parts = [
            ("TWILIO_ACCOUNT_SID", said("TWILIO_ACCOUNT_SID")),
            ("TWILIO_FROM", said("TWILIO_FROM")),
            ("TWILIO_TO", said("TWILIO_TO")),
        ];
        if auth_token.is_none() && parts.iter().all(|(_, part)| part.is_none()) {
            return None;
        }
        let mut missing: Vec<&str> =
            parts.iter().filter(|(_, part)| part.is_none()).map(|(name, _)| *name).collect();
        if auth_token.is_none() && !is_said {
            missing.push("TWILIO_AUTH_TOKEN");
        }
        for name in missing {
            errors.push(format!("VORHOELLE_{name} is missing: WhatsApp through Twilio needs account, token, sender and recipient"));
        }
        let [(_, account_sid), (_, from), (_, to)] = parts;
        let mut read = |name: &str, text: Option<String>, reader: fn(&str) -> Result<String, String>| {
            text.and_then(|text| {
                reader(&text).map_err(|error| errors.push(format!("VORHOELLE_{name}: {error}"))).ok()
            })
        };
        let account_sid = read("TWILIO_ACCOUNT_SID", account_sid, |text| whatsapp::sid(text, "AC"));
        let from = read("TWILIO_FROM", from, whatsapp::sender);
        let to = read("TWILIO_TO", to, whatsapp::number);
        let content_sid =
            read("TWILIO_CONTENT_SID", said("TWILIO_CONTENT_SID"), |text| whatsapp::sid(text, "HX"));
        Some(WhatsAppSettings {
            account_sid: account_sid?,
            auth_token: auth_token?,
            from: from?,
            to: to?,
            content_sid,
            api_url,
        })
    }

    fn gmail(&self, errors: &mut Vec<String>) -> Option<GmailSettings> {
        // Client and secret alone are what `gmail login` starts from.
        let refresh_token = self.secret("GMAIL_REFRESH_TOKEN", errors)?;
        let api_url = self.url("GMAIL_API_URL", errors).or_else(|| Url::parse(GMAIL_API).ok())?;
        Some(GmailSettings { app: self.google_app(errors)?, refresh_token, api_url })
    }

    fn google_app(&self, errors: &mut Vec<String>) -> Option<GoogleAppSettings> {
        let before = errors.len();
        let client_secret = self.secret("GMAIL_CLIENT_SECRET", errors);
        // What is wrong with one has been said.
        let has_secret = client_secret.is_some() || errors.len() > before;
        let client_id = self.get("GMAIL_CLIENT_ID").map(str::to_owned);
        let token_url = self.url("GMAIL_TOKEN_URL", errors).or_else(|| Url::parse(GMAIL_TOKEN).ok())?;
        for (name, there) in [("GMAIL_CLIENT_ID", client_id.is_some()), ("GMAIL_CLIENT_SECRET", has_secret)] {
            if !there {
                errors.push(format!(
                    "VORHOELLE_{name} is missing: `vorhoelle gmail login --help` says how to get it"
                ));
            }
        }
        Some(GoogleAppSettings { client_id: client_id?, client_secret: client_secret?, token_url })
    }
}

/// `smtp://user:password@host:port?tls=required`, `smtps://…`; the error never shows the address, which holds a password.
fn smtp(text: &str) -> Result<SmtpSettings, String> {
    let form = "must look like smtp://user:password@host:587?tls=required or smtps://user:password@host";
    let url = Url::parse(text).map_err(|_| form.to_owned())?;
    // An IPv6 address stands in brackets in a URL and without them everywhere else.
    let host = url.host_str().map(|host| host.trim_matches(['[', ']']));
    let host = host.filter(|host| !host.is_empty()).ok_or(form)?;
    let mut starttls = false;
    for (name, value) in url.query_pairs() {
        match (name.as_ref(), value.as_ref()) {
            ("tls", "required") => starttls = true,
            ("tls", _) => return Err("tls must be required".to_owned()),
            _ => return Err("knows no other option than tls=required".to_owned()),
        }
    }
    let security = match (url.scheme(), starttls) {
        ("smtps", _) => SmtpSecurity::Tls,
        ("smtp", true) => SmtpSecurity::StartTls,
        ("smtp", false) => SmtpSecurity::None,
        _ => return Err(form.to_owned()),
    };
    let usual = match security {
        SmtpSecurity::None => 25,
        SmtpSecurity::StartTls => 587,
        SmtpSecurity::Tls => 465,
    };
    let credentials = match (url.username(), url.password()) {
        ("", None) => None,
        (user, Some(password)) if !user.is_empty() => {
            Some((decoded(user)?, SecretString::from(decoded(password)?)))
        }
        _ => {
            return Err(
                "needs both user and password, or neither; write @ and : in them as %40 and %3A".to_owned()
            );
        }
    };
    Ok(SmtpSettings { host: host.to_owned(), port: url.port().unwrap_or(usual), security, credentials })
}

fn decoded(text: &str) -> Result<String, String> {
    let bytes = percent_encoding::percent_decode_str(text);
    bytes
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| "user and password must be UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (ChannelSettings, Vec<String>) {
        let all = variables.iter().map(|(name, value)| (format!("VORHOELLE_{name}"), (*value).to_owned()));
        let mut errors = Vec::new();
        let channels = Environment::of(all).channels(&mut errors);
        (channels, errors)
    }

    #[test]
    fn a_mail_server_is_read_from_its_address() {
        let server = smtp("smtp://u%40h:p%3Aw@mail.example.com?tls=required").unwrap();
        assert_eq!(
            (server.host.as_str(), server.port, server.security),
            ("mail.example.com", 587, SmtpSecurity::StartTls)
        );
        let (user, password) = server.credentials.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("u@h", "p:w"));
        assert_eq!(smtp("smtps://h").unwrap().port, 465);
        assert_eq!(smtp("smtp://h:2525").unwrap().port, 2525);
        assert_eq!(smtp("smtp://[::1]:2525").unwrap().host, "::1");
        for wrong in ["http://h", "smtp://", "smtp://h?tls=maybe", "smtp://user@h", "smtp://h?pool=1"] {
            let error = smtp(wrong).unwrap_err();
            assert!(!error.contains("user@h"), "{error}");
        }
    }

    #[test]
    fn half_a_channel_says_what_is_missing() {
        let (_, errors) = read(&[("SMTP_URL", "smtp://h"), ("MAIL_FROM", "a@example.com")]);
        assert!(errors[0].contains("VORHOELLE_MAIL_TO is missing"), "{errors:?}");
        let (_, errors) = read(&[("MAIL_TO", "a@example.com")]);
        assert!(errors[0].contains("VORHOELLE_SMTP_URL"), "{errors:?}");
        let (_, errors) = read(&[("TWILIO_FROM", "whatsapp:+43123456789"), ("TWILIO_TO", "me")]);
        assert!(
            errors.iter().any(|error| error.contains("TWILIO_TO: must be a telephone number")),
            "{errors:?}"
        );
        assert!(errors.iter().any(|error| error.contains("TWILIO_AUTH_TOKEN is missing")), "{errors:?}");
        let wrong = [
            ("TWILIO_ACCOUNT_SID", "SK1", "must be AC"),
            ("TWILIO_FROM", "Anna", "must be a telephone number"),
            ("TWILIO_TO", "01 555", "must be a telephone number"),
            ("TWILIO_CONTENT_SID", "x", "must be HX"),
            ("TWILIO_API_URL", "twilio", "must be an http:// or https:// address"),
        ];
        for (name, value, what) in wrong {
            let mut all = vec![
                ("TWILIO_ACCOUNT_SID", "AC1"),
                ("TWILIO_AUTH_TOKEN", "t0ken"),
                ("TWILIO_FROM", "+14155238886"),
                ("TWILIO_TO", "+4315550123"),
            ];
            all.retain(|(other, _)| *other != name);
            all.push((name, value));
            let (_, errors) = read(&all);
            assert_eq!(errors.len(), 1, "{errors:?}");
            assert!(errors[0].starts_with(&format!("VORHOELLE_{name}: {what}")), "{errors:?}");
        }
        let (_, errors) = read(&[("SLACK_WEBHOOK_URL", "hooks.slack.com/x")]);
        assert!(errors[0].contains("SLACK_WEBHOOK_URL"), "{errors:?}");
    }

    #[test]
    fn mails_may_go_to_several_people() {
        let (channels, errors) = read(&[
            ("MAIL_FILE_DIR", "outbox"),
            ("MAIL_FROM", "Vorhölle <jobs@example.com>"),
            ("MAIL_TO", "anna@example.com, Bert <bert@example.com>"),
        ]);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(channels.mail.unwrap().to.len(), 2);
        assert!(read(&[]).0.mail.is_none());
    }

    #[test]
    fn an_address_that_most_servers_do_not_take_is_refused_with_what_to_write() {
        let wrong = [
            ("jürgen@example.com", "the part before the @ must be plain ASCII"),
            ("anna@müller.example", "write the domain as xn--…"),
            ("Anna <anna@müller.example>", "write the domain as xn--…"),
        ];
        for (address, what) in wrong {
            for name in ["MAIL_FROM", "MAIL_TO"] {
                let mut all = vec![
                    ("MAIL_FILE_DIR", "outbox"),
                    ("MAIL_FROM", "a@example.com"),
                    ("MAIL_TO", "b@example.com"),
                ];
                all.retain(|(other, _)| *other != name);
                all.push((name, address));
                let (_, errors) = read(&all);
                assert_eq!(errors.len(), 1, "{errors:?}");
                assert!(errors[0].starts_with(&format!("VORHOELLE_{name}: {what}")), "{errors:?}");
            }
        }
        let fine = [
            ("MAIL_FILE_DIR", "outbox"),
            ("MAIL_FROM", "Jürgen Müller <a@xn--mller-kva.example>"),
            ("MAIL_TO", "b@example.com"),
        ];
        assert!(read(&fine).1.is_empty(), "{:?}", read(&fine).1);
    }
}
