//! The signed part of a link in a message that asks for a decision: `/a/{token}`.
//!
//! A token is bound to an issue, an action, a channel and a time. The issue's number in the whole GitLab instance is
//! signed but not said, so that a token is of no use for an issue of the same number in another project.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

use super::{Channel, State};

/// How long a link decides.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Longest token that is looked at, in bytes; ours have fewer than half as many.
const TOKEN_LIMIT: usize = 200;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The match is approved.
    Approve,
    /// The match is rejected.
    Reject,
}

impl Action {
    /// The state that the match gets.
    pub const fn state(self) -> State {
        match self {
            Self::Approve => State::Approved,
            Self::Reject => State::Rejected,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        })
    }
}

impl FromStr for Action {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Approve, Self::Reject].into_iter().find(|action| action.to_string() == text).ok_or(())
    }
}

/// A link in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionLink {
    /// The issue's number in the project.
    pub iid: u64,
    /// What it is for.
    pub action: Action,
    /// The channel of the message.
    pub channel: Channel,
    /// From when on it decides nothing any more; whole seconds.
    pub expires: Timestamp,
}

impl ActionLink {
    /// A link that is made now. It counts as made at the end of the second, so that it is after everything that was known
    /// then.
    pub fn new(iid: u64, action: Action, channel: Channel, now: Timestamp) -> Self {
        let expires = now.checked_add(LIFETIME).unwrap_or(Timestamp::MAX);
        let seconds = expires.as_second() + i64::from(expires.subsec_nanosecond() > 0);
        Self { iid, action, channel, expires: Timestamp::from_second(seconds).unwrap_or(expires) }
    }

    /// When it was made, to the end of the second.
    pub fn made(&self) -> Timestamp {
        self.expires.checked_sub(LIFETIME).unwrap_or(Timestamp::MIN)
    }

    /// The token; `issue` is the issue's number in the whole instance.
    pub fn token(&self, key: &[u8], issue: u64) -> String {
        let claim = self.claim();
        let signature = signed(key, &claim, issue).map(|mac| mac.finalize().into_bytes());
        format!("{claim}.{}", signature.map(|bytes| BASE64.encode(bytes)).unwrap_or_default())
    }

    fn claim(&self) -> String {
        format!("{}.{}.{}.{}", self.iid, self.action, self.channel, self.expires.as_second())
    }
}

/// What a token says of itself, before it is known whether it is genuine.
#[derive(Clone, Debug)]
pub struct Claim {
    link: ActionLink,
    signature: Vec<u8>,
}

impl Claim {
    /// Reads a token; none where it is none of ours.
    pub fn parse(token: &str) -> Option<Self> {
        if token.len() > TOKEN_LIMIT {
            return None;
        }
        let (claim, signature) = token.rsplit_once('.')?;
        let mut parts = claim.split('.');
        let mut next = || parts.next();
        let link = ActionLink {
            iid: next()?.parse().ok()?,
            action: next()?.parse().ok()?,
            channel: next()?.parse().ok()?,
            expires: Timestamp::from_second(next()?.parse().ok()?).ok()?,
        };
        // Each link has one token: neither `+1` for `1` nor a part too many.
        (link.claim() == claim).then_some(Self { link, signature: BASE64.decode(signature).ok()? })
    }

    /// The issue that it is about, by its own account.
    pub const fn iid(&self) -> u64 {
        self.link.iid
    }

    /// The link, if it is signed with the key for this issue. Takes the same time whatever the signature is.
    pub fn genuine(self, key: &[u8], issue: u64) -> Option<ActionLink> {
        let mac = signed(key, &self.link.claim(), issue)?;
        mac.verify_slice(&self.signature).is_ok().then_some(self.link)
    }
}

fn signed(key: &[u8], claim: &str, issue: u64) -> Option<Hmac<Sha256>> {
    // A key of any length is one.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("vorhoelle action link\n{issue}\n{claim}").as_bytes());
    Some(mac)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &[u8] = b"key-of-the-links";

    fn link() -> ActionLink {
        let now: Timestamp = "2026-11-23T08:00:00.7Z".parse().unwrap();
        ActionLink::new(12, Action::Approve, Channel::Email, now)
    }

    #[test]
    fn a_token_is_read_back_with_its_key_for_its_issue() {
        let token = link().token(KEY, 9000);
        assert!(token.starts_with("12.approve.email.1796025601."), "{token}");
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)), "{token}");
        let claim = Claim::parse(&token).unwrap();
        assert_eq!(claim.iid(), 12);
        assert_eq!(claim.clone().genuine(KEY, 9000), Some(link()));
        assert_eq!(claim.clone().genuine(b"another key", 9000), None);
        assert_eq!(claim.genuine(KEY, 9001), None);
        assert_eq!(link().made(), "2026-11-23T08:00:01Z".parse().unwrap());
        let whole = ActionLink::new(12, Action::Approve, Channel::Email, link().made());
        assert_eq!(whole.made(), link().made());
    }

    #[test]
    fn a_token_for_something_else_is_not_genuine() {
        let token = link().token(KEY, 9000);
        let changes =
            [("12.", "13."), ("approve", "reject"), ("email", "slack"), ("1796025601", "1896025601")];
        for (from, to) in changes {
            let forged = token.replacen(from, to, 1);
            assert_ne!(forged, token);
            assert_eq!(Claim::parse(&forged).unwrap().genuine(KEY, 9000), None, "{forged}");
        }
        for broken in ["", ".", "12", &token[..token.len() - 1], &format!("{token}="), &format!("0{token}")] {
            let read = Claim::parse(broken).and_then(|claim| claim.genuine(KEY, 9000));
            assert_eq!(read, None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_a_token_of_ours_is_genuine(text in "\\PC{0,90}", at in 0_usize..70, with in "[ -~]") {
            prop_assert!(Claim::parse(&text).and_then(|claim| claim.genuine(KEY, 9000)).is_none());
            let token = link().token(KEY, 9000);
            let mut changed: Vec<char> = token.chars().collect();
            let at = at % changed.len();
            changed[at] = with.chars().next().unwrap();
            let changed: String = changed.into_iter().collect();
            let read = Claim::parse(&changed).and_then(|claim| claim.genuine(KEY, 9000));
            prop_assert_eq!(read.is_some(), changed == token);
        }
    }
}
