use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};
use vorhoelle::channels::Outcome;
use vorhoelle::channels::whatsapp::{WhatsApp, WhatsAppMessage};
use vorhoelle::clock::Clock;
use vorhoelle::config::WhatsAppSettings;
use vorhoelle::domain::{JobMatch, Language};
use vorhoelle::notify::{NoticeKind, render};
use vorhoelle::templates::Templates;

use crate::notices::{
    LANGUAGES, about, assert_inert, demo, each_kind, hostile, notice, with_links, without_our_links,
};
use crate::receivers::{Receiver, Reply, nobody, whatsapp_takes};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TEMPLATE: &str = "HX0123456789abcdef0123456789abcdef";
const MESSAGE: &str = "SM0123456789abcdef0123456789abcdef";

fn templates() -> Templates {
    Templates::load(None).unwrap()
}

fn message() -> WhatsAppMessage {
    let notice = notice(NoticeKind::Match, Language::De, demo()[..1].to_vec());
    render::whatsapp(&templates(), &notice).unwrap()
}

fn settings(url: &str) -> WhatsAppSettings {
    WhatsAppSettings {
        account_sid: ACCOUNT.into(),
        auth_token: SecretString::from("secretpart"),
        from: "whatsapp:+14155238886".into(),
        to: "whatsapp:+4315550123".into(),
        content_sid: None,
        api_url: url.parse().unwrap(),
    }
}

fn whatsapp(settings: WhatsAppSettings) -> WhatsApp {
    WhatsApp::new(settings, Clock::stepped("2026-11-23T08:00:00Z".parse().unwrap())).unwrap()
}

/// A message as Twilio shows it.
fn state(status: &str, error: Option<u64>) -> Value {
    json!({"sid": MESSAGE, "status": status, "error_code": error, "error_message": null})
}

fn refusal(status: u16, code: u64) -> Reply {
    let message = format!("what Twilio says of {code}");
    Reply::json(status, json!({"code": code, "message": message, "status": status}))
}

/// Sends by a script of answers; with a template where it is named.
async fn sent(script: Vec<Reply>, content_sid: Option<&str>) -> (Outcome, Receiver) {
    let receiver = Receiver::start(script).await;
    let settings =
        WhatsAppSettings { content_sid: content_sid.map(str::to_owned), ..settings(&receiver.url) };
    let outcome = whatsapp(settings).send(&message()).await;
    assert!(!format!("{outcome:?}").contains("secretpart"), "{outcome:?}");
    for arrived in receiver.arrived() {
        assert_eq!(arrived.basic_auth(), format!("{ACCOUNT}:secretpart"));
    }
    (outcome, receiver)
}

fn is_sent(outcome: &Outcome) -> bool {
    *outcome == Outcome::Sent { id: Some(MESSAGE.into()) }
}

#[test]
fn what_people_read() {
    let templates = templates();
    for (language, name) in LANGUAGES {
        let mut all = String::new();
        for (kind, notice) in each_kind(language) {
            let message = render::whatsapp(&templates, &notice).unwrap();
            whatsapp_takes(&message.variables);
            let values: String =
                message.variables.iter().map(|(number, value)| format!("{number} = {value}\n")).collect();
            all.push_str(&format!("## {kind}\n\n{}\n\n{values}\n", message.body));
        }
        insta::assert_snapshot!(format!("whatsapp_{name}"), all);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_match_breaks_a_limit_or_gets_a_word_in(notice in hostile()) {
        let message = render::whatsapp(&templates(), &notice).unwrap();
        whatsapp_takes(&message.variables);
        prop_assert!((1..=1_600).contains(&message.body.encode_utf16().count()), "{}", message.body);
        prop_assert!(message.body.contains("https://gitlab.example/acme/jobs/-/issues"), "{}", message.body);
        assert_inert(&without_our_links(&message.body));
        for (number, value) in &message.variables {
            assert_inert(&without_our_links(value));
            prop_assert!(number != "4" || value.starts_with("https://gitlab.example/"), "{value}");
        }
        // A link is there as a whole or not at all.
        for link in message.body.split_whitespace().filter(|word| word.contains("https://jobs.example/a/")) {
            prop_assert!(link.ends_with("&v=1"), "{link}");
        }
    }
}

#[test]
fn what_does_not_fit_is_left_out_between_matches() {
    let long = JobMatch { company: Some("GmbH ".repeat(20)), ..JobMatch::titled("ü".repeat(255)) };
    let many = (1..=30).map(|iid| about(long.clone(), iid)).collect();
    let body = render::whatsapp(&templates(), &notice(NoticeKind::Digest, Language::De, many)).unwrap().body;
    let shown = body.matches("/issues/").count();
    assert!((5..20).contains(&shown), "{body}");
    assert!(
        body.contains(&format!("Und {} weitere.\nAlle offenen: https://gitlab.example/", 30 - shown)),
        "{body}"
    );
    assert!(body.starts_with("*30 neue Treffer*\n\n"), "{body}");
}

#[test]
fn links_too_long_for_a_message_leave_the_way_to_the_list() {
    let mut shown = with_links(demo().remove(0));
    shown.approve_url = Some(format!("https://jobs.example/a/{}", "t".repeat(1_600)));
    let body =
        render::whatsapp(&templates(), &notice(NoticeKind::Match, Language::En, vec![shown])).unwrap().body;
    assert!(body.starts_with("*One new match*\n\nAll pending: https://gitlab.example/"), "{body}");
}

#[tokio::test]
async fn a_message_arrives_whole() {
    let (outcome, receiver) = sent(vec![Reply::json(201, state("sent", None))], None).await;
    assert!(is_sent(&outcome), "{outcome:?}");
    let arrived = receiver.only();
    assert_eq!(arrived.method, "POST");
    assert_eq!(arrived.target, format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"));
    let expected = [
        ("To", "whatsapp:+4315550123"),
        ("From", "whatsapp:+14155238886"),
        ("Body", message().body.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(arrived.form(), BTreeMap::from(expected));
}

#[tokio::test]
async fn a_messaging_service_sends_in_its_own_name() {
    let receiver = Receiver::start([Reply::json(201, state("accepted", None))]).await;
    let settings =
        WhatsAppSettings { from: "MG0123456789abcdef0123456789abcdef".into(), ..settings(&receiver.url) };
    // That Twilio cannot be asked afterwards changes nothing: it has the message.
    assert!(is_sent(&whatsapp(settings).send(&message()).await));
    let form = receiver.arrived()[0].form();
    assert_eq!(form["MessagingServiceSid"], "MG0123456789abcdef0123456789abcdef");
    assert!(!form.contains_key("From"));
}

#[tokio::test]
async fn a_message_under_way_is_looked_after() {
    let (outcome, receiver) = sent(
        vec![
            Reply::json(201, state("queued", None)),
            Reply::json(200, state("sending", None)),
            Reply::json(200, state("delivered", None)),
        ],
        None,
    )
    .await;
    assert!(is_sent(&outcome), "{outcome:?}");
    let arrived = receiver.arrived();
    assert_eq!(arrived.len(), 3);
    assert_eq!(arrived[1].method, "GET");
    assert_eq!(arrived[1].target, format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{MESSAGE}.json"));

    let slow = std::iter::repeat_n(Reply::json(200, state("queued", None)), 20);
    let (outcome, receiver) = sent(slow.collect(), None).await;
    assert!(is_sent(&outcome), "{outcome:?}");
    assert_eq!(receiver.arrived().len(), 5, "it is not looked at for ever");
}

#[tokio::test]
async fn outside_of_the_session_the_template_goes_out() {
    let late = vec![
        Reply::json(201, state("queued", None)),
        Reply::json(200, state("failed", Some(63_016))),
        Reply::json(201, state("queued", None)),
        Reply::json(200, state("sent", None)),
    ];
    let at_once = vec![refusal(400, 63_016), Reply::json(201, state("sent", None))];
    for script in [late, at_once] {
        let (outcome, receiver) = sent(script, Some(TEMPLATE)).await;
        assert!(is_sent(&outcome), "{outcome:?}");
        let posts: Vec<_> =
            receiver.arrived().into_iter().filter(|arrived| arrived.method == "POST").collect();
        assert_eq!(posts.len(), 2);
        let form = posts[1].form();
        assert_eq!(form.keys().collect::<Vec<_>>(), ["ContentSid", "ContentVariables", "From", "To"]);
        assert_eq!(form["ContentSid"], TEMPLATE);
        let variables: BTreeMap<String, String> = serde_json::from_str(&form["ContentVariables"]).unwrap();
        whatsapp_takes(&variables);
        assert_eq!(variables["4"], "https://gitlab.example/acme/jobs/-/issues/12");
    }
}

#[tokio::test]
async fn looks_that_fail_do_not_hide_that_a_message_failed() {
    for failed in [refusal(429, 20_429), Reply::text(503, ""), Reply::Drop, Reply::Torn(200)] {
        let script = vec![
            Reply::json(201, state("queued", None)),
            failed.clone(),
            failed.clone(),
            Reply::json(200, state("failed", Some(63_016))),
            Reply::json(201, state("sent", None)),
        ];
        let (outcome, receiver) = sent(script, Some(TEMPLATE)).await;
        assert!(is_sent(&outcome), "{failed:?} {outcome:?}");
        let arrived = receiver.arrived();
        assert_eq!(arrived.len(), 5, "{failed:?}");
        assert_eq!(arrived[4].form()["ContentSid"], TEMPLATE);
    }
}

#[tokio::test]
async fn outside_of_the_session_without_a_template_it_says_what_to_do() {
    let script =
        vec![Reply::json(201, state("queued", None)), Reply::json(200, state("undelivered", Some(63_016)))];
    let (outcome, _) = sent(script, None).await;
    let Outcome::GiveUp { reason } = outcome else { panic!("{outcome:?}") };
    assert!(reason.starts_with("Twilio refuses (error 63016): more than 24 hours have passed"), "{reason}");
    assert!(reason.contains("set VORHOELLE_TWILIO_CONTENT_SID"), "{reason}");
    // Neither does a template that fails in the same way go round in circles.
    let (outcome, receiver) = sent(vec![refusal(400, 63_016), refusal(400, 63_016)], Some(TEMPLATE)).await;
    assert!(matches!(outcome, Outcome::GiveUp { .. }), "{outcome:?}");
    assert_eq!(receiver.arrived().len(), 2);
}

#[tokio::test]
async fn what_lasts_is_given_up_with_what_to_do() {
    for (status, code, expected) in [
        (401, 20_003, "VORHOELLE_TWILIO_ACCOUNT_SID and VORHOELLE_TWILIO_AUTH_TOKEN do not belong together"),
        (404, 20_404, "there is no such account"),
        (400, 21_211, "VORHOELLE_TWILIO_TO is no number that exists"),
        (400, 21_608, "a trial account writes only to numbers that were verified"),
        (400, 63_007, "VORHOELLE_TWILIO_FROM is no WhatsApp sender of this account"),
        (400, 63_015, "send `join` and the sandbox's two words"),
        (400, 63_024, "VORHOELLE_TWILIO_TO is not on WhatsApp"),
        (400, 63_028, "another number of variables"),
        (400, 21_656, "the values do not fit the template"),
        (
            400,
            12_345,
            "(error 12345): what Twilio says of 12345; see https://www.twilio.com/docs/api/errors/12345",
        ),
        (400, 0, "Twilio refuses (400 what Twilio says of 0)"),
    ] {
        // Known at once, or only when the message is looked at.
        let mut scripts = vec![vec![refusal(status, code)]];
        if status == 400 && code > 20_000 {
            let failed = Reply::json(200, state("failed", Some(code)));
            scripts.push(vec![Reply::json(201, state("queued", None)), failed]);
        }
        for script in scripts {
            let (outcome, _) = sent(script, None).await;
            let Outcome::GiveUp { reason } = outcome else { panic!("{code}: {outcome:?}") };
            assert!(reason.contains(expected), "{reason}");
        }
    }
    for (status, expected) in [
        (401, "do not belong together"),
        (404, "VORHOELLE_TWILIO_API_URL"),
        (302, "Twilio refuses (302): there is nothing"),
    ] {
        let (outcome, _) = sent(vec![Reply::text(status, "<html>")], None).await;
        assert!(matches!(&outcome, Outcome::GiveUp { reason } if reason.contains(expected)), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let minute = Some(Duration::from_secs(60));
    for (reply, is_unclear, pause) in [
        (refusal(429, 20_429).and_header("retry-after", "7"), false, Some(Duration::from_secs(7))),
        (refusal(429, 63_018), false, minute),
        (refusal(400, 63_018), false, minute),
        (Reply::text(429, ""), false, None),
        (Reply::text(500, ""), true, None),
        (refusal(503, 20_503), true, None),
        (Reply::Drop, true, None),
        (Reply::Torn(201), true, None),
        (Reply::text(200, "<html>Please log in</html>"), true, None),
        (Reply::json(200, state("failed", Some(63_018))), false, minute),
    ] {
        let (outcome, receiver) = sent(vec![reply.clone()], Some(TEMPLATE)).await;
        assert!(
            matches!(&outcome, Outcome::TryAgain { after, unclear, .. } if *unclear == is_unclear && *after == pause),
            "{reply:?} {outcome:?}"
        );
        assert_eq!(receiver.arrived().len(), 1, "{reply:?}");
    }
    let outcome = whatsapp(settings(&nobody().await)).send(&message()).await;
    assert!(matches!(&outcome, Outcome::TryAgain { unclear: false, .. }), "{outcome:?}");
}

#[test]
fn secrets_and_numbers_are_not_shown() {
    let right = settings("https://api.twilio.example");
    let shown = format!("{right:?} {:?}", whatsapp(right.clone()));
    assert!(!shown.contains("secretpart") && !shown.contains("5550123"), "{shown}");
}
