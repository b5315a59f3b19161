//! Where signed events go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::Environment;

/// How many bytes a key behind `whsec_` may have, by the Standard Webhooks specification.
const KEY_LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// Where signed events go, and the secret that they are signed with.
#[derive(Clone, Debug)]
pub struct EventSettings {
    /// The receiver.
    pub url: Url,
    secret: SecretString,
}

impl EventSettings {
    /// The key of the signature: the bytes behind `whsec_`, or of a plain secret its own.
    pub fn key(&self) -> Vec<u8> {
        let secret = self.secret.expose_secret();
        match secret.strip_prefix("whsec_") {
            Some(key) => BASE64.decode(key).unwrap_or_default(),
            None => secret.as_bytes().to_vec(),
        }
    }
}

impl Environment {
    pub(super) fn events(&self, errors: &mut Vec<String>) -> Option<EventSettings> {
        let before = errors.len();
        let url = self.url("EVENTS_URL", errors);
        let secret = self.secret("EVENTS_SECRET", errors);
        if let Some(key) = secret.as_ref().and_then(|secret| secret.expose_secret().strip_prefix("whsec_"))
            && !BASE64.decode(key).is_ok_and(|bytes| KEY_LENGTHS.contains(&bytes.len()))
        {
            errors.push(
                "VORHOELLE_EVENTS_SECRET: behind whsec_ must be the base64 of 24 to 64 bytes; make one with: \
                 echo whsec_$(openssl rand -base64 32)"
                    .to_owned(),
            );
        }
        if url.is_some() && secret.is_none() && errors.len() == before {
            errors.push(
                "VORHOELLE_EVENTS_SECRET is missing: VORHOELLE_EVENTS_URL is set, and events are signed with it; make \
                 one with: echo whsec_$(openssl rand -base64 32)"
                    .to_owned(),
            );
        }
        Some(EventSettings { url: url?, secret: secret? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, secret: &str) -> (Option<EventSettings>, Vec<String>) {
        let all = [("EVENTS_URL", url), ("EVENTS_SECRET", secret)];
        let all = all.map(|(name, value)| (format!("VORHOELLE_{name}"), value.to_owned()));
        let mut errors = Vec::new();
        let events = Environment::of(all).events(&mut errors);
        (events, errors)
    }

    #[test]
    fn a_secret_is_base64_behind_its_prefix_or_plain() {
        let key = |secret| read("https://a.example/hook", secret).0.unwrap().key();
        assert_eq!(
            key("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="),
            b"0123456789abcdef0123456789abcdef"
        );
        assert_eq!(key("plain-secret"), b"plain-secret");
        let (_, errors) = read("https://a.example/hook", "whsec_no!");
        assert!(errors[0].contains("VORHOELLE_EVENTS_SECRET"), "{errors:?}");
    }

    #[test]
    fn an_address_without_a_secret_names_both() {
        let (events, errors) = read("https://a.example/hook", "");
        assert!(events.is_none() && errors.len() == 1);
        assert!(errors[0].contains("VORHOELLE_EVENTS_URL") && errors[0].contains("VORHOELLE_EVENTS_SECRET"));
        assert!(read("", "plain-secret").1.is_empty());
    }
}
