//! Who is logged in: a cookie that is checked with nothing but the settings.
//!
//! It is signed with the API token itself. A restart or another instance needs no memory of it, and with the token
//! its sessions end.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;
use sha2::Sha256;

use crate::config::{ApiToken, Settings};
use crate::gitlab::webhook::same;

/// The cookie's name.
const COOKIE: &str = "vorhoelle_session";
/// How long one stays logged in.
const LIFETIME: SignedDuration = SignedDuration::from_hours(14 * 24);
/// How far another instance's clock may be ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// Longest token that is looked at, in bytes.
const TOKEN_LIMIT: usize = 1_000;

/// Somebody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Session {
    /// The name of their API token: decisions are recorded under it.
    pub(in crate::web) name: String,
    /// What their forms must carry.
    pub(in crate::web) form_token: String,
}

impl Session {
    /// The session of a request, where its cookie holds one that counts.
    pub(super) fn of(headers: &HeaderMap, settings: &Settings, now: Timestamp) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut ours = cookies
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='));
        ours.find_map(|value| Self::read(value, settings, now))
    }

    fn read(value: &str, settings: &Settings, now: Timestamp) -> Option<Self> {
        let (claim, signature) = value.rsplit_once('.')?;
        let (name, since) = claim.split_once('.')?;
        let name = String::from_utf8(BASE64.decode(name).ok()?).ok()?;
        let since = Timestamp::from_second(since.parse().ok()?).ok()?;
        let age = now.duration_since(since);
        let known = settings.api_tokens.iter().find(|known| known.name == name)?;
        let genuine = same(sign(known, "session", claim).as_bytes(), signature.as_bytes());
        let fresh = age < LIFETIME && age > -AHEAD;
        (genuine && fresh).then(|| Self { form_token: sign(known, "form", claim), name })
    }

    /// Whether a form came from a page that we made for this session.
    pub(super) fn is_form_of_ours(&self, token: &str) -> bool {
        same(self.form_token.as_bytes(), token.as_bytes())
    }
}

fn sign(known: &ApiToken, purpose: &str, claim: &str) -> String {
    // A key of any length is one.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(known.token.expose_secret().as_bytes()) else {
        return String::new();
    };
    mac.update(format!("vorhoelle {purpose}\n{claim}").as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

/// The API token that was given, if it is one. Every token is compared, so that the time does not tell which one came
/// near.
pub(super) fn token_named<'a>(settings: &'a Settings, given: &str) -> Option<&'a ApiToken> {
    let given = given.trim();
    if given.is_empty() || given.len() > TOKEN_LIMIT {
        return None;
    }
    let mut found = None;
    for known in &settings.api_tokens {
        if same(known.token.expose_secret().as_bytes(), given.as_bytes()) {
            found = Some(known);
        }
    }
    found
}

/// The `Set-Cookie` that logs in.
pub(super) fn cookie(known: &ApiToken, settings: &Settings, root: &str, now: Timestamp) -> String {
    let claim = format!("{}.{}", BASE64.encode(&known.name), now.as_second());
    let signature = sign(known, "session", &claim);
    set_cookie(&format!("{claim}.{signature}"), LIFETIME.as_secs(), settings, root)
}

/// The `Set-Cookie` that logs out.
pub(super) fn no_cookie(settings: &Settings, root: &str) -> String {
    set_cookie("", 0, settings, root)
}

fn set_cookie(value: &str, seconds: i64, settings: &Settings, root: &str) -> String {
    let is_https = settings.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    let secure = if is_https { "; Secure" } else { "" };
    // `Lax`: a link in a mail opens the page that it names, not the login.
    format!("{COOKIE}={value}; Path={root}/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

/// Failed logins, so that nobody tries tokens for long.
#[derive(Default)]
pub(super) struct Attempts {
    failed: Mutex<HashMap<String, Vec<Timestamp>>>,
}

impl Attempts {
    /// How long failures count.
    const WINDOW: SignedDuration = SignedDuration::from_mins(5);
    /// Failures in that time from one address, and from all together: an address can be made up, their sum cannot.
    const EACH: usize = 10;
    const ALL: usize = 200;

    /// How long an address has to wait before it may try; none where it may. All together only keep those waiting whose
    /// token is wrong: else somebody with many addresses could lock everybody out.
    pub(super) fn pause(&self, from: &str, is_right: bool, now: Timestamp) -> Option<Duration> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, times| {
            times.retain(|at| now.duration_since(*at) < Self::WINDOW);
            !times.is_empty()
        });
        let all = failed.values().map(Vec::len).sum::<usize>() >= Self::ALL;
        let oldest = if all && !is_right {
            failed.values().flatten().min().copied()
        } else {
            failed
                .get(from)
                .filter(|times| times.len() >= Self::EACH)
                .and_then(|times| times.first().copied())
        };
        let left = Self::WINDOW - now.duration_since(oldest?);
        Some(Duration::try_from(left).unwrap_or_default().max(Duration::from_secs(1)))
    }

    /// Notes a failure.
    pub(super) fn note(&self, from: &str, now: Timestamp) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.entry(from.to_owned()).or_default().push(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn settings(tokens: &str, public: &str) -> Settings {
        let variables = [
            ("GITLAB_TOKEN", "token-of-the-bot"),
            ("GITLAB_PROJECT", "acme/jobs"),
            ("WEBHOOK_SECRET", "a-long-enough-secret"),
            ("API_TOKENS", tokens),
            ("PUBLIC_URL", public),
        ];
        let all = variables.map(|(name, value)| (format!("VORHOELLE_{name}"), value.to_owned()));
        Settings::load(None, &Environment::of(all)).unwrap()
    }

    fn headers(set_cookie: &str) -> HeaderMap {
        let pair = set_cookie.split(';').next().unwrap();
        [(header::COOKIE, format!("a=b; {pair}").parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn a_session_ends_with_its_token_and_with_time() {
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let ours = settings("anna:geheim-1,bert:geheim-2", "https://jobs.example/");
        let known = token_named(&ours, " geheim-1 ").unwrap();
        let cookie = cookie(known, &ours, "", now);
        assert!(
            cookie.ends_with("; HttpOnly; SameSite=Lax; Secure") && !cookie.contains("geheim"),
            "{cookie}"
        );
        let of = |settings: &Settings, now| Session::of(&headers(&cookie), settings, now);
        let session = of(&ours, now).unwrap();
        assert_eq!(session.name, "anna");
        assert!(session.is_form_of_ours(&session.form_token) && !session.is_form_of_ours(""));
        // Another instance with the same token knows it; one with another token, or none, does not.
        assert_eq!(of(&settings("anna:geheim-1", "http://localhost:1"), now), Some(session));
        assert_eq!(of(&settings("anna:geheim-3", "https://jobs.example/"), now), None);
        assert_eq!(of(&settings("bert:geheim-1", "https://jobs.example/"), now), None);
        assert_eq!(of(&ours, now + LIFETIME), None);
        assert_eq!(of(&ours, now - SignedDuration::from_hours(1)), None);
        for forged in [cookie.replacen("YW5uYQ", "YmVydA", 1), cookie.replacen(".1", ".2", 1)] {
            assert_eq!(Session::of(&headers(&forged), &ours, now), None, "{forged}");
        }
        assert!(token_named(&ours, "").is_none() && token_named(&ours, "geheim-").is_none());
    }

    #[test]
    fn who_fails_too_often_waits_and_nobody_else_does() {
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let attempts = Attempts::default();
        for _ in 0..Attempts::EACH {
            assert_eq!(attempts.pause("a", false, now), None);
            attempts.note("a", now);
        }
        assert_eq!(attempts.pause("a", true, now), Some(Duration::from_secs(300)));
        assert_eq!(attempts.pause("b", false, now), None);
        assert_eq!(attempts.pause("a", false, now + Attempts::WINDOW), None);
        for address in 0..Attempts::ALL {
            attempts.note(&address.to_string(), now + Attempts::WINDOW);
        }
        assert!(attempts.pause("b", false, now + Attempts::WINDOW).is_some());
        assert_eq!(attempts.pause("b", true, now + Attempts::WINDOW), None);
    }
}
