//! GitLab's deliveries: is it GitLab who speaks, and of which issue?
//!
//! Headers, signature and payloads as GitLab's `web_hook_service.rb` (19.1) and `issue_builder.rb` make them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How far a delivery's time may be off, in seconds.
const LONGEST_SKEW: u64 = 5 * 60;

/// What a delivery has to prove. With both set, both must be right.
#[derive(Clone, Debug, Default)]
pub struct WebhookSecrets {
    /// What `X-Gitlab-Token` has to say.
    pub token: Option<SecretString>,
    /// The key of GitLab's signature.
    pub signing_key: Option<SigningKey>,
}

/// The 32 bytes behind `whsec_`.
#[derive(Clone)]
pub struct SigningKey {
    text: SecretString,
    bytes: [u8; 32],
}

impl SigningKey {
    /// Reads `whsec_…`, strictly as GitLab does.
    ///
    /// # Errors
    ///
    /// Where it is not `whsec_` and the standard base64 of 32 bytes.
    pub fn parse(text: &str) -> Result<Self, NoSigningToken> {
        let bytes =
            text.strip_prefix("whsec_").and_then(|key| BASE64.decode(key).ok()).ok_or(NoSigningToken)?;
        Ok(Self { text: SecretString::from(text), bytes: bytes.try_into().map_err(|_| NoSigningToken)? })
    }

    /// The token as it was given, for GitLab's API.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

/// Something that is no signing token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be `whsec_` followed by the base64 of exactly 32 bytes; make one with: echo whsec_$(openssl rand -base64 32)"
)]
pub struct NoSigningToken;

/// Why a delivery is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// No `X-Gitlab-Token`, or another one.
    #[error("X-Gitlab-Token is missing or wrong")]
    Token,
    /// No signature headers.
    #[error("webhook-id, webhook-timestamp and webhook-signature are needed")]
    NoSignature,
    /// A time that is no number, or too far off.
    #[error("webhook-timestamp is more than five minutes off, or no time")]
    Timestamp,
    /// A signature that is not of this body.
    #[error("webhook-signature is wrong")]
    Signature,
}

/// A delivery whose headers were believed; its body still has to be.
#[derive(Debug)]
pub struct Believed<'a> {
    signed: Option<Signed<'a>>,
}

#[derive(Debug)]
struct Signed<'a> {
    key: &'a SigningKey,
    id: Vec<u8>,
    timestamp: Vec<u8>,
    signatures: String,
}

impl WebhookSecrets {
    /// Whether there is anything to prove at all.
    pub fn is_empty(&self) -> bool {
        self.token.is_none() && self.signing_key.is_none()
    }

    /// Checks what can be checked before the body is read.
    ///
    /// # Errors
    ///
    /// Why the delivery is not believed.
    pub fn check_headers(&self, headers: &HeaderMap, now: Timestamp) -> Result<Believed<'_>, Unproven> {
        if let Some(expected) = &self.token {
            let given = headers.get("x-gitlab-token").ok_or(Unproven::Token)?;
            if !same(expected.expose_secret().as_bytes(), given.as_bytes()) {
                return Err(Unproven::Token);
            }
        }
        let Some(key) = &self.signing_key else {
            return Ok(Believed { signed: None });
        };
        let header = |name: &str| headers.get(name).ok_or(Unproven::NoSignature);
        let timestamp = header("webhook-timestamp")?;
        let seconds: i64 =
            timestamp.to_str().ok().and_then(|text| text.parse().ok()).ok_or(Unproven::Timestamp)?;
        if seconds.checked_sub(now.as_second()).is_none_or(|skew| skew.unsigned_abs() > LONGEST_SKEW) {
            return Err(Unproven::Timestamp);
        }
        let signatures = header("webhook-signature")?.to_str().map_err(|_| Unproven::Signature)?.to_owned();
        let id = header("webhook-id")?.as_bytes().to_vec();
        Ok(Believed {
            signed: Some(Signed { key, id, timestamp: timestamp.as_bytes().to_vec(), signatures }),
        })
    }
}

impl Believed<'_> {
    /// Checks the signature over the body as it was received.
    ///
    /// # Errors
    ///
    /// Where no entry of the signature is this body's.
    pub fn check_body(&self, body: &[u8]) -> Result<(), Unproven> {
        let Some(signed) = &self.signed else {
            return Ok(());
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&signed.key.bytes).map_err(|_| Unproven::Signature)?;
        for part in [signed.id.as_slice(), b".", signed.timestamp.as_slice(), b".", body] {
            mac.update(part);
        }
        let fits = signed
            .signatures
            .split(' ')
            .filter_map(|entry| BASE64.decode(entry.strip_prefix("v1,")?).ok())
            .any(|signature| mac.clone().verify_slice(&signature).is_ok());
        if fits { Ok(()) } else { Err(Unproven::Signature) }
    }
}

/// Whether two secrets are the same, in a time that tells neither content nor length.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    Sha256::digest(a).as_slice().ct_eq(Sha256::digest(b).as_slice()).into()
}

/// What a delivery is about: an event only says "look at issue N".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueTouched {
    /// The project that it is in.
    pub project: u64,
    /// The issue.
    pub iid: u64,
    /// When GitLab last changed the issue before the delivery; none where the payload does not say it to the
    /// millisecond.
    pub updated_at: Option<Timestamp>,
    /// Who acted.
    pub user: Option<u64>,
}

#[derive(Deserialize)]
struct Payload {
    object_kind: Option<String>,
    user: Option<PayloadUser>,
    project: Option<PayloadProject>,
    object_attributes: Option<Attributes>,
    issue: Option<Attributes>,
}

#[derive(Deserialize)]
struct PayloadUser {
    id: Option<u64>,
}

#[derive(Deserialize)]
struct PayloadProject {
    id: Option<u64>,
}

#[derive(Deserialize)]
struct Attributes {
    iid: Option<u64>,
    project_id: Option<u64>,
    updated_at: Option<String>,
}

/// Reads a delivery's body.
///
/// # Errors
///
/// Where it is no JSON. JSON that is none of ours is `Ok(None)`.
pub fn parse(body: &[u8]) -> Result<Option<IssueTouched>, serde_json::Error> {
    let payload: Payload = match serde_json::from_slice(body) {
        Ok(payload) => payload,
        // JSON of another shape is somebody else's event; no JSON is an error. The first error does not tell the two
        // apart: a list where one object should be has signs too many.
        Err(_) => return serde_json::from_slice::<serde::de::IgnoredAny>(body).map(|_| None),
    };
    let about = match payload.object_kind.as_deref() {
        Some("issue" | "work_item") => payload.object_attributes,
        Some("note" | "emoji") => payload.issue,
        _ => None,
    };
    let project = payload.project.and_then(|project| project.id);
    Ok(about.and_then(|about| {
        Some(IssueTouched {
            project: project.or(about.project_id)?,
            // GitLab's own numbers are signed.
            iid: about.iid.filter(|iid| i64::try_from(*iid).is_ok())?,
            updated_at: about.updated_at.as_deref().and_then(to_the_millisecond),
            user: payload.user.and_then(|user| user.id),
        })
    }))
}

/// Newer GitLabs print milliseconds; older ones cut to seconds, which is too coarse to compare with.
fn to_the_millisecond(text: &str) -> Option<Timestamp> {
    text.contains('.').then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The example of the Standard Webhooks specification has the same construction; this token is our own.
    const TOKEN: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    fn secrets(token: Option<&str>, signing: Option<&str>) -> WebhookSecrets {
        WebhookSecrets {
            token: token.map(SecretString::from),
            signing_key: signing.map(|text| SigningKey::parse(text).unwrap()),
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_795_000_000).unwrap()
    }

    /// Computed apart with: printf '%s' 'id-1.1795000000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef -binary | base64
    const SIGNATURE: &str = "v1,uYaGtEjqVaq2fsTbmDgDRk85v/8ISJo2O0dugrWdErM=";

    #[test]
    fn the_signature_is_over_id_time_and_body() {
        let secrets = secrets(None, Some(TOKEN));
        let signed = |signature: &str| {
            headers(&[
                ("webhook-id", "id-1"),
                ("webhook-timestamp", "1795000000"),
                ("webhook-signature", signature),
            ])
        };
        let check = |signature: &str, body: &[u8]| {
            secrets.check_headers(&signed(signature), now()).unwrap().check_body(body)
        };
        assert_eq!(check(SIGNATURE, br#"{"a":1}"#), Ok(()));
        assert_eq!(check(&format!("v1,AAAA v2,x {SIGNATURE}"), br#"{"a":1}"#), Ok(()));
        assert_eq!(check(SIGNATURE, br#"{"a":2}"#), Err(Unproven::Signature));
        assert_eq!(check("v1,", br#"{"a":1}"#), Err(Unproven::Signature));
        let late = now().checked_add(std::time::Duration::from_secs(301)).unwrap();
        assert_eq!(secrets.check_headers(&signed(SIGNATURE), late).unwrap_err(), Unproven::Timestamp);
        assert_eq!(secrets.check_headers(&HeaderMap::new(), now()).unwrap_err(), Unproven::NoSignature);
    }

    #[test]
    fn with_both_secrets_both_must_be_right() {
        let both = secrets(Some("secret"), Some(TOKEN));
        let only_token = headers(&[("x-gitlab-token", "secret")]);
        assert_eq!(both.check_headers(&only_token, now()).unwrap_err(), Unproven::NoSignature);
        let wrong_token = headers(&[("x-gitlab-token", "secret "), ("webhook-id", "id-1")]);
        assert_eq!(both.check_headers(&wrong_token, now()).unwrap_err(), Unproven::Token);
        assert!(secrets(Some("secret"), None).check_headers(&only_token, now()).is_ok());
    }

    #[test]
    fn a_signing_token_is_read_as_strictly_as_gitlab_does() {
        for wrong in ["", "whsec_", "whsec_AAAA", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "whsec_!!!"]
        {
            assert!(SigningKey::parse(wrong).is_err(), "{wrong}");
        }
        assert!(!format!("{:?}", SigningKey::parse(TOKEN).unwrap()).contains("MDEy"));
    }

    #[test]
    fn a_delivery_is_only_a_hint_at_an_issue() {
        let touched = |body: &str| parse(body.as_bytes()).unwrap();
        let issue = touched(
            r#"{"object_kind":"work_item","user":{"id":51},"project":{"id":14},
                "object_attributes":{"iid":57,"type":"Issue","updated_at":"2026-11-23T09:30:00.456Z"}}"#,
        )
        .unwrap();
        assert_eq!((issue.project, issue.iid, issue.user), (14, 57, Some(51)));
        assert_eq!(issue.updated_at, "2026-11-23T09:30:00.456Z".parse().ok());
        let note = r#"{"object_kind":"note","project_id":14,"project":{"id":14},"issue":{"iid":3}}"#;
        assert_eq!(touched(note).unwrap().iid, 3);
        for none_of_ours in [
            "{}",
            "[]",
            "7",
            r#"{"object_kind":"push"}"#,
            r#"{"object_kind":7}"#,
            r#"{"object_kind":"issue"}"#,
        ] {
            assert_eq!(touched(none_of_ours), None, "{none_of_ours}");
        }
        assert!(parse(b"no json").is_err() && parse(b"").is_err() && parse(b"{\"a\":").is_err());
        assert_eq!(to_the_millisecond("2013-12-03T17:15:43Z"), None);
        assert_eq!(to_the_millisecond("2017-09-15 16:52:00 UTC"), None);
    }
}
