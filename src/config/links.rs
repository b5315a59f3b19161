//! Links in messages that ask for a decision.

use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::Environment;
use crate::domain::action_link::{ActionLink, Claim};

/// Below so many bytes a key can be found by trying.
const LEAST_KEY: usize = 16;

/// Where links that decide lead to, and the key that they are signed with.
#[derive(Clone, Debug)]
pub struct LinkSettings {
    key: SecretString,
    base: String,
}

impl LinkSettings {
    /// The address of a link; `issue` is the issue's number in the whole instance.
    pub fn address(&self, link: &ActionLink, issue: u64) -> String {
        format!("{}/a/{}", self.base, link.token(self.key(), issue))
    }

    /// The link that a token stands for, where it is one of ours for this issue.
    pub fn genuine(&self, claim: Claim, issue: u64) -> Option<ActionLink> {
        claim.genuine(self.key(), issue)
    }

    /// Whether the key is so short that it can be found by trying.
    pub fn is_guessable(&self) -> bool {
        self.key().len() < LEAST_KEY
    }

    fn key(&self) -> &[u8] {
        self.key.expose_secret().as_bytes()
    }
}

impl Environment {
    /// None where there is no key, or nobody knows where people reach the service.
    pub(super) fn links(&self, public_url: Option<&Url>, errors: &mut Vec<String>) -> Option<LinkSettings> {
        let key = self.secret("LINK_SECRET", errors)?;
        let base = public_url?.as_str().trim_end_matches('/').to_owned();
        Some(LinkSettings { key, base })
    }
}
