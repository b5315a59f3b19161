//! What must hold for any bytes that a stranger sends; shared by the fuzz targets and `tests/fuzzed.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what does not hold, panics")]

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;
use vorhoelle::config::{File, Layers, edit};
use vorhoelle::csv::{Field, Table, formula, record};
use vorhoelle::domain::action_link::Claim;
use vorhoelle::domain::identity::Fingerprint;
use vorhoelle::domain::inert::{GitlabBlock, GitlabLine, GitlabTitle, Wanted, whole_text_guard};
use vorhoelle::domain::inert::{SlackMarkup, WhatsAppLine, chat_length, json_block};
use vorhoelle::domain::{JobMatch, Language, posted_match};
use vorhoelle::gitlab::issue_text::{self, BodyContext, Staged, TextError};
use vorhoelle::gitlab::webhook::{self, SigningKey, WebhookSecrets};
use vorhoelle::templates::Templates;

/// The moment at which deliveries of the corpus were signed.
const NOW: i64 = 1_764_000_000;
const SIGNING_TOKEN: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// The key and the issue that tokens of the corpus are signed for.
const LINK_SECRET: &[u8] = b"key-of-the-links";
const ISSUE: u64 = 9000;

static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| Templates::load(None).expect("our own templates"));

/// Headers, an empty line, a body: believed only as a whole, and read without harm.
pub fn webhook(data: &[u8]) {
    let split = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = split.map_or((data, &[][..]), |at| (&data[..at], &data[at + 2..]));
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let now = jiff::Timestamp::from_second(NOW).unwrap();
    let token = Some(SecretString::from("secret-of-the-webhook"));
    let key = SigningKey::parse(SIGNING_TOKEN).ok();
    let both = WebhookSecrets { token: token.clone(), signing_key: key.clone() };
    let alone =
        [WebhookSecrets { token, signing_key: None }, WebhookSecrets { token: None, signing_key: key }];
    let believed = |secrets: &WebhookSecrets, body: &[u8]| {
        secrets.check_headers(&headers, now).is_ok_and(|believed| believed.check_body(body).is_ok())
    };
    assert_eq!(believed(&both, body), alone.iter().all(|one| believed(one, body)), "both, or neither");
    let right = headers.get("x-gitlab-token").is_some_and(|value| value == "secret-of-the-webhook");
    assert_eq!(believed(&alone[0], body), right);
    let longer = [body, b" "].concat();
    assert!(!(believed(&alone[1], body) && believed(&alone[1], &longer)), "a signature is of one body");
    if webhook::parse(body).is_err() {
        // Nested deeper than 128 brackets, it would be an error here, and is none there.
        assert!(serde_json::from_slice::<Value>(body).is_err(), "JSON of any shape is no error");
    }
}

/// Any text is harmless in every form, and the forms that can be undone are undone exactly.
pub fn inert(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let nothing = Wanted::default();
    let line = GitlabLine::new(&text).to_string();
    assert!(!line.contains('\n'));
    whole_text_guard(&format!("A sentence with {line} in it."), &nothing).expect("a harmless line");
    let block = GitlabBlock::new(&text).to_string();
    whole_text_guard(&format!("Before.\n\n{block}\n\nBehind."), &nothing).expect("a harmless block");
    let kept: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    assert_eq!(GitlabBlock::read_back(&block), kept);
    let title = GitlabTitle::new("[97 %] ", &text).into_string();
    assert!(title.chars().count() <= 255 && !title.contains('\n'));
    let value = json!({ "text": text });
    assert_eq!(serde_json::from_str::<Value>(&json_block(&value)).unwrap(), value);
    for limit in [1, 40, 3000] {
        assert!(chat_length(SlackMarkup::new(&text, limit).as_str()) <= limit);
        assert!(chat_length(WhatsAppLine::new(&text, limit).as_str()) <= limit);
    }
}

/// Any text may stand in an issue; what we wrote is read back as it was meant.
pub fn issue_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = issue_text::read_back(&text);
    let _ = issue_text::read_erased(&text);
    if let Some(staged) = read {
        let _ = Fingerprint::of(&staged.job, staged.nonce);
    }
    let mut job = JobMatch::titled("A job");
    let line: String = text.chars().take(200).collect();
    (job.company, job.location, job.summary) =
        (Some(line.clone()), Some(line), Some(text.clone().into_owned()));
    // As `posted` leaves it: no control characters, no CR.
    let clean: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    job.description = Some(clean).filter(|clean| !clean.trim().is_empty());
    let staged = Staged { job, nonce: Uuid::nil() };
    let context = BodyContext { language: Language::En, ..BodyContext::default() };
    match issue_text::body(&TEMPLATES, &staged, &context) {
        Ok(body) => {
            assert!(body.len() <= 900_000);
            let read = issue_text::read_back(&body).expect("our own block");
            assert_eq!(read, staged);
            assert_eq!(issue_text::read_erased(&body), None, "foreign text poses as no checksum");
        }
        Err(TextError::TooLarge) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Any token is none of ours, or the one that its link has; with another key or for another issue it is worth nothing.
pub fn action_link(data: &[u8]) {
    let token = String::from_utf8_lossy(data);
    let genuine = |key, issue| Claim::parse(&token).and_then(|claim| claim.genuine(key, issue));
    if let Some(link) = genuine(LINK_SECRET, ISSUE) {
        assert_eq!(link.token(LINK_SECRET, ISSUE), token, "each link has one token");
        assert!(link.made() <= link.expires);
    }
    let of_both = genuine(LINK_SECRET, ISSUE).and(genuine(LINK_SECRET, ISSUE + 1));
    assert_eq!(of_both, None, "a token is for one issue");
    assert_eq!(genuine(b"another key", ISSUE), None);
}

/// Any file is read or refused; what nobody edits stays as it is, an edit changes its cell.
pub fn csv(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let guarded = formula::guard(&text);
    assert_eq!(formula::unguard(&guarded), text);
    let Ok(mut table) = Table::read(data.to_vec()) else { return };
    assert_eq!(table.to_bytes(), data);
    for row in 0..table.len().min(50) {
        if let Ok(Some(values)) = table.values(row) {
            let _ = record::job_match(&values);
            let _ = record::application(&values);
        }
    }
    if !table.is_empty() && table.set(0, Field::Notes, "a; \"b\"\n=c") == Ok(true) {
        let again = Table::read(table.to_bytes()).expect("what we wrote is read");
        assert_eq!(again.get(0, Field::Notes), Ok(Some("a; \"b\"\n=c".to_owned())));
    }
}

/// Any YAML is understood or refused; an edit says what it was to say and nothing else.
pub fn settings(data: &[u8]) {
    // The settings issue and the form are limited too.
    let text = String::from_utf8_lossy(&data[..data.len().min(4096)]);
    let Ok(file) = File::parse(&text) else { return };
    let layers = Layers::new("fuzz.yml".to_owned(), text.clone().into_owned(), file.clone(), File::default());
    if let Err(wrong) = layers.policy(None, &std::collections::BTreeSet::new()) {
        assert!(!wrong.is_empty() && wrong.iter().all(|one| !one.message.is_empty()));
    }
    let _ = layers.explain(None);
    if let Ok(edited) = edit(&text, &[("min_score".to_owned(), json!(81))]) {
        let after = File::parse(&edited).expect("what we wrote is read");
        assert_eq!(after.min_score, Some(81.0));
        assert_eq!(File { min_score: None, ..after }, File { min_score: None, ..file }, "{edited}");
    }
}

/// Any JSON is a match or says what is wrong; a match survives its own writing.
pub fn posted(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    match posted_match::parse(value) {
        Ok(job) => {
            let again: JobMatch =
                serde_json::from_value(serde_json::to_value(&job).unwrap()).expect("our own JSON");
            assert_eq!(again, job);
            assert_eq!(Fingerprint::of(&again, Uuid::nil()), Fingerprint::of(&job, Uuid::nil()));
        }
        Err(errors) => assert!(!errors.is_empty()),
    }
}
