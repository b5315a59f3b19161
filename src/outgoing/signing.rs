//! The Standard Webhooks form: who signs, what, and how it is written.
//!
//! A receiver verifies like this (Python, package `standardwebhooks`):
//!
//! ```python
//! from standardwebhooks import Webhook
//! event = Webhook("whsec_…").verify(request.body, request.headers)
//! ```
//!
//! By hand: HMAC-SHA256 of `webhook-id.webhook-timestamp.body` under the bytes behind `whsec_`, as base64 behind `v1,`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The value of `webhook-signature`.
pub fn signature(key: &[u8], id: &str, timestamp: i64, body: &str) -> String {
    mac(key, id, timestamp, body)
        .map_or_else(String::new, |mac| format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

/// Whether one of the signatures in a `webhook-signature` is right; in constant time.
pub fn is_signed(key: &[u8], id: &str, timestamp: i64, body: &str, signatures: &str) -> bool {
    let Some(mac) = mac(key, id, timestamp, body) else { return false };
    let given = signatures.split(' ').filter_map(|one| BASE64.decode(one.strip_prefix("v1,")?).ok());
    given.into_iter().any(|one| mac.clone().verify_slice(&one).is_ok())
}

fn mac(key: &[u8], id: &str, timestamp: i64, body: &str) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification: <https://github.com/standard-webhooks/standard-webhooks>, in its libraries' tests.
    #[test]
    fn the_specifications_example() {
        let key = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, at, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature(&key, id, at, body), expected);
        assert!(is_signed(&key, id, at, body, &format!("v1,AAAA {expected}")));
        assert!(!is_signed(&key, id, at + 1, body, expected));
    }
}
