use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use secrecy::SecretString;
use serde_json::{Value, json};
use vorhoelle::channels::Outcome;
use vorhoelle::channels::gmail::Gmail;
use vorhoelle::clock::Clock;
use vorhoelle::config::{GmailSettings, GoogleAppSettings};

use crate::receivers::{Receiver, Reply, nobody};

const MAIL: &[u8] = b"From: a@b.at\r\nTo: c@d.at\r\nMessage-ID: <ours@b.at>\r\n\r\nGr\xc3\xbc\xc3\x9fe?>\r\n";
const SEND: &str = "/gmail/v1/users/me/messages/send";

/// Google's two peers, each with a script.
struct Google {
    tokens: Receiver,
    api: Receiver,
    gmail: Gmail,
    clock: Clock,
}

impl Google {
    async fn new(tokens: Vec<Reply>, api: Vec<Reply>) -> Self {
        let (tokens, api) = (Receiver::start(tokens).await, Receiver::start(api).await);
        let clock = Clock::stepped("2026-11-23T08:00:00Z".parse().unwrap());
        let gmail = Gmail::new(settings(&api.url, &tokens.url), clock.clone()).unwrap();
        Self { tokens, api, gmail, clock }
    }

    async fn send(&self) -> Outcome {
        let outcome = self.gmail.send(MAIL).await;
        for secret in ["secretpart", "refreshpart", "accesspart"] {
            assert!(!format!("{outcome:?} {:?}", self.gmail).contains(secret), "{outcome:?}");
        }
        outcome
    }

    /// Which access token each call to the API carried.
    fn calls(&self) -> Vec<String> {
        let arrived = self.api.arrived().into_iter();
        arrived
            .map(|call| format!("{} {} {}", call.method, call.target, call.header("authorization")))
            .collect()
    }
}

fn settings(api: &str, tokens: &str) -> GmailSettings {
    GmailSettings {
        app: GoogleAppSettings {
            client_id: "id.apps.googleusercontent.com".into(),
            client_secret: SecretString::from("secretpart"),
            token_url: format!("{tokens}/token").parse().unwrap(),
        },
        refresh_token: SecretString::from("refreshpart"),
        api_url: api.parse().unwrap(),
    }
}

fn token(number: u32) -> Reply {
    let token = format!("accesspart{number}");
    Reply::json(200, json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}))
}

fn accepted() -> Reply {
    Reply::json(200, json!({"id": "18f0c", "threadId": "18f0c", "labelIds": ["SENT"]}))
}

fn refusal(status: u16, reason: &str, message: &str) -> Reply {
    let error = json!({"code": status, "message": message, "errors": [{"domain": "x", "reason": reason}]});
    Reply::json(status, json!({"error": error}))
}

fn no_scope() -> Reply {
    refusal(403, "insufficientPermissions", "Request had insufficient authentication scopes.")
}

#[tokio::test]
async fn a_mail_arrives_whole_and_its_real_message_id_comes_back() {
    let headers = json!([{"name": "Message-Id", "value": "<CAB+1@mail.gmail.com>"}]);
    let read = Reply::json(200, json!({"id": "18f0c", "payload": {"headers": headers}}));
    let google = Google::new(vec![token(1)], vec![accepted(), read]).await;
    assert_eq!(google.send().await, Outcome::Sent { id: Some("<CAB+1@mail.gmail.com>".into()) });

    let asked = google.tokens.only();
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", "/token"));
    let form: Vec<(String, String)> = asked.form().into_iter().collect();
    let expected = [
        ("client_id", "id.apps.googleusercontent.com"),
        ("client_secret", "secretpart"),
        ("grant_type", "refresh_token"),
        ("refresh_token", "refreshpart"),
    ];
    assert_eq!(form, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));

    let calls = google.calls();
    assert_eq!(calls[0], format!("POST {SEND} Bearer accesspart1"));
    assert_eq!(
        calls[1],
        "GET /gmail/v1/users/me/messages/18f0c?format=metadata&metadataHeaders=Message-ID Bearer accesspart1"
    );
    let body = google.api.arrived()[0].json();
    assert_eq!(body.as_object().unwrap().len(), 1);
    assert_eq!(URL_SAFE.decode(body["raw"].as_str().unwrap()).unwrap(), MAIL);
}

#[tokio::test]
async fn where_reading_is_not_allowed_it_is_tried_once() {
    let google = Google::new(vec![token(1)], vec![accepted(), no_scope(), accepted()]).await;
    assert_eq!(google.send().await, Outcome::Sent { id: None });
    assert_eq!(google.send().await, Outcome::Sent { id: None });
    assert_eq!(google.calls().len(), 3);
    assert_eq!(google.tokens.arrived().len(), 1, "the token is kept");
}

/// It is sent: whoever waits for that must not be told in the end that nobody knows.
#[tokio::test]
async fn a_message_id_that_does_not_come_is_not_waited_for() {
    let google = Google::new(vec![token(1)], vec![accepted(), Reply::Silent]).await;
    let sent = tokio::time::timeout(Duration::from_secs(15), google.send()).await;
    assert_eq!(sent.expect("an answer in time"), Outcome::Sent { id: None });
    assert_eq!(google.calls().len(), 2);
}

#[tokio::test]
async fn what_is_read_must_be_a_message_id() {
    for value in ["", "no brackets", "<a b@c>", "<a@b>\r\nBcc: <x@y>"] {
        let headers = json!([{"name": "Message-ID", "value": value}]);
        let read = Reply::json(200, json!({"payload": {"headers": headers}}));
        let google = Google::new(vec![token(1)], vec![accepted(), read]).await;
        assert_eq!(google.send().await, Outcome::Sent { id: None }, "{value}");
    }
    // An id that would lead elsewhere is not followed.
    let google = Google::new(vec![token(1)], vec![Reply::json(200, json!({"id": "../drafts"}))]).await;
    assert_eq!(google.send().await, Outcome::Sent { id: None });
    assert_eq!(google.calls().len(), 1);
}

#[tokio::test]
async fn a_token_is_kept_until_shortly_before_its_end() {
    let api = vec![accepted(), no_scope(), accepted(), accepted()];
    let google = Google::new(vec![token(1), token(2)], api).await;
    google.send().await;
    google.clock.advance(Duration::from_secs(3_500));
    google.send().await;
    google.clock.advance(Duration::from_secs(60));
    google.send().await;
    let tokens: Vec<String> =
        google.calls().iter().map(|call| call.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(tokens, ["accesspart1", "accesspart1", "accesspart1", "accesspart2"]);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let gone = || refusal(401, "authError", "Invalid Credentials");
    let google = Google::new(vec![token(1), token(2)], vec![gone(), accepted(), no_scope()]).await;
    assert_eq!(google.send().await, Outcome::Sent { id: None });
    assert_eq!(google.calls()[1], format!("POST {SEND} Bearer accesspart2"));

    let google = Google::new(vec![token(1), token(2)], vec![gone(), gone()]).await;
    let Outcome::GiveUp { reason } = google.send().await else { panic!() };
    assert!(reason.contains("Gmail refuses (401 Invalid Credentials)"), "{reason}");
    assert!(reason.contains("run `vorhoelle gmail login`"), "{reason}");
    assert_eq!(google.calls().len(), 2);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_reason_is_said() {
    let error =
        |status, error: &str| Reply::json(status, json!({"error": error, "error_description": "Bad."}));
    for (reply, expected) in [
        (
            error(400, "invalid_grant"),
            "older than 7 days and the app's publishing status in the Google console is still “Testing”",
        ),
        (error(400, "invalid_grant"), "Google gives no access (invalid_grant: Bad.): access was revoked"),
        (error(400, "invalid_grant"), "run `vorhoelle gmail login`"),
        (
            error(401, "invalid_client"),
            "VORHOELLE_GMAIL_CLIENT_ID and VORHOELLE_GMAIL_CLIENT_SECRET do not belong together",
        ),
        (error(400, "unauthorized_client"), "do not belong together"),
        (Reply::text(404, "<html>"), "Google gives no access (404): that is nothing"),
    ] {
        let google = Google::new(vec![reply], vec![]).await;
        let Outcome::GiveUp { reason } = google.send().await else { panic!("{expected}") };
        assert!(reason.contains(expected), "{reason}");
        assert!(google.calls().is_empty());
    }
    for reply in [
        Reply::text(503, ""),
        Reply::text(429, ""),
        Reply::Drop,
        Reply::Torn(200),
        Reply::text(200, "<html>Please log in</html>"),
        Reply::json(200, json!({"access_token": ""})),
    ] {
        let google = Google::new(vec![reply.clone()], vec![]).await;
        let outcome = google.send().await;
        assert!(matches!(outcome, Outcome::TryAgain { unclear: false, .. }), "{reply:?} {outcome:?}");
        assert!(google.calls().is_empty());
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let limit = |status, reason| {
        refusal(status, reason, "User-rate limit exceeded.  Retry after 2026-11-23T08:15:00.000Z")
    };
    let quarter = Some(Duration::from_secs(900));
    for (reply, is_unclear, pause) in [
        (limit(429, "rateLimitExceeded"), false, quarter),
        (limit(403, "userRateLimitExceeded"), false, quarter),
        (refusal(403, "rateLimitExceeded", "Quota exceeded"), false, None),
        (refusal(429, "x", "x").and_header("retry-after", "9"), false, Some(Duration::from_secs(9))),
        (refusal(500, "backendError", "Backend Error"), true, None),
        (Reply::text(502, "<html>"), true, None),
        (Reply::Drop, true, None),
        (Reply::Torn(200), true, None),
        (Reply::text(200, "<html>Please log in</html>"), true, None),
    ] {
        let google = Google::new(vec![token(1)], vec![reply.clone()]).await;
        let outcome = google.send().await;
        assert!(
            matches!(&outcome, Outcome::TryAgain { after, unclear, .. } if *unclear == is_unclear && *after == pause),
            "{reply:?} {outcome:?}"
        );
        assert_eq!(google.calls().len(), 1, "a mail is never sent twice by itself");
    }
    let tokens = Receiver::start([token(1)]).await;
    let gmail = Gmail::new(settings(&nobody().await, &tokens.url), Clock::System).unwrap();
    let outcome = gmail.send(MAIL).await;
    assert!(matches!(outcome, Outcome::TryAgain { unclear: false, .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_lasts_is_given_up_with_what_to_do() {
    let disabled: Value = json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "Gmail API has not been used",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}]}});
    for (reply, expected) in [
        (no_scope(), "run `vorhoelle gmail login` and leave every box ticked"),
        (Reply::json(403, disabled), "switch it on in the Google console"),
        (refusal(403, "domainPolicy", "x"), "administrator of the domain"),
        (refusal(400, "failedPrecondition", "Mail service not enabled"), "the account has no Gmail"),
        (
            refusal(400, "invalidArgument", "Invalid To header"),
            "Gmail refuses (400 Invalid To header): the mail is not what Gmail takes",
        ),
        (Reply::text(413, ""), "too large"),
        (Reply::text(404, ""), "VORHOELLE_GMAIL_API_URL"),
        (
            Reply::text(302, "").and_header("location", "https://evil.example/"),
            "there is nothing at this address",
        ),
    ] {
        let google = Google::new(vec![token(1)], vec![reply]).await;
        let Outcome::GiveUp { reason } = google.send().await else { panic!("{expected}") };
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn settings_show_no_secret() {
    let settings = settings("https://gmail.example", "https://oauth.example");
    let shown = format!("{settings:?} {:?}", Gmail::new(settings.clone(), Clock::System).unwrap());
    assert!(!shown.contains("secretpart") && !shown.contains("refreshpart"), "{shown}");
}
