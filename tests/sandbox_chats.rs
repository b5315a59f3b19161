//! The sandbox's Slack and WhatsApp: the service's own messages arrive and are shown, what the real ones would refuse is
//! refused, nothing in a text gets through.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

mod support;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use support::{Difference, Disk, World, job};
use vorhoelle::sandbox::{ChatMessage, Options, Sandbox};

const FILE: &str = "language: en\nremind_after: off\nquiet_alarm_after: off\nchannels: {slack: {action_links: true}, whatsapp: {action_links: true}}\n";

async fn page(sandbox: &Sandbox) -> String {
    let answer = Client::builder().tls_certs_only([]).build().unwrap();
    let answer = answer.get(format!("{}/-/chats", sandbox.url())).send().await.unwrap();
    assert!(answer.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    answer.text().await.unwrap()
}

#[tokio::test]
async fn what_the_service_tells_is_shown_as_it_looks_there() {
    let variables =
        vec![("PUBLIC_URL", "https://jobs.example"), ("LINK_SECRET", "key-of-the-links-0123456789")];
    let mut world = World::with(Difference { variables, file: Some(FILE), ..Difference::default() }).await;
    assert!(page(&world.sandbox).await.contains("Nothing came for Slack yet."));
    let [account, token, sender] = world.sandbox.twilio();
    let url = world.sandbox.url().to_owned();
    for (name, value) in [
        ("SLACK_WEBHOOK_URL", world.sandbox.slack_webhook_url().as_str()),
        ("TWILIO_API_URL", &url),
        ("TWILIO_ACCOUNT_SID", account),
        ("TWILIO_AUTH_TOKEN", token),
        ("TWILIO_FROM", sender),
        ("TWILIO_TO", "+43155501234"),
    ] {
        world.set_variable(name, value);
    }
    world.restart(Disk::Kept).await;
    let mut one = job("1");
    one["summary"] = json!("Fits <script>alert(1)</script> & more\n*bold?*");
    one["skills"] = json!({"matched": ["Rust", "AWS"], "missing": ["SAP"]});
    assert_eq!(world.post(&one).await.0, StatusCode::CREATED);
    world.tell().await;
    assert_eq!(world.receipts(1), ["calling", "speech_balloon"], "both took it");
    let html = page(&world.sandbox).await;
    for part in [
        "<h3>New match: 97 %</h3>",
        "<strong><a rel=\"noreferrer\" href=",
        "<strong>Company</strong><br>Amoria Bond",
        "<strong>Fits:</strong> Rust · AWS",
        "class=\"button primary\" rel=\"noreferrer\" href=\"https:&#x2f;&#x2f;jobs.example&#x2f;a&#x2f;",
        "Approve …</a>",
        "class=\"bubble\"",
        "<strong>New match: 97 %</strong>",
        "14155238886 to +43155501234",
        "&lt;script&gt;",
    ] {
        assert!(html.contains(part), "{part} in:\n{html}");
    }
    for part in ["<script>alert", "<img", "url(http"] {
        assert!(!html.contains(part), "{part} in:\n{html}");
    }
    let (status, answer) =
        world.call(world.http.post(world.url("/api/v1/notify/test")).json(&json!({}))).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(page(&world.sandbox).await.contains("The test message is here"));
}

async fn sandbox() -> (Sandbox, Client) {
    let http = Client::builder().tls_certs_only([]).build().unwrap();
    (Sandbox::start(Options::default()).await.unwrap(), http)
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

#[tokio::test]
async fn slack_refuses_what_slack_refuses() {
    let (sandbox, http) = sandbox().await;
    let url = sandbox.slack_webhook_url();
    let say = async |url: &str, body: Value| {
        let answer = http.post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let plain = |text: &str| json!({"type": "plain_text", "text": text});
    let button = |url: &str| json!({"type": "button", "text": plain("Go"), "url": url});
    for (body, word) in [
        (json!({}), "no_text"),
        (json!({"text": " ", "blocks": []}), "no_text"),
        (json!(["x"]), "invalid_payload"),
        (json!({"text": 7}), "invalid_payload"),
        (json!({"blocks": {}}), "invalid_blocks_format"),
        (json!({"blocks": vec![json!({"type": "divider"}); 51]}), "invalid_blocks"),
        (json!({"blocks": [{"type": "carrousel"}]}), "invalid_blocks"),
        (json!({"blocks": [{"type": "section"}]}), "invalid_blocks"),
        (json!({"blocks": [section("")]}), "invalid_blocks"),
        (json!({"blocks": [section(&"x".repeat(3_001))]}), "invalid_blocks"),
        (json!({"blocks": [{"type": "section", "fields": vec![plain("x"); 11]}]}), "invalid_blocks"),
        (json!({"blocks": [{"type": "header", "text": plain(&"x".repeat(151))}]}), "invalid_blocks"),
        (json!({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}), "invalid_blocks"),
        (
            json!({"blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x", "verbatim": true}}]}),
            "invalid_blocks",
        ),
        (json!({"blocks": [{"type": "context", "elements": vec![plain("x"); 11]}]}), "invalid_blocks"),
        (json!({"blocks": [{"type": "actions", "elements": []}]}), "invalid_blocks"),
        (
            json!({"blocks": [{"type": "actions", "elements": vec![button("https://a.example"); 26]}]}),
            "invalid_blocks",
        ),
        (json!({"blocks": [{"type": "actions", "elements": [button("a.example")]}]}), "invalid_blocks"),
        (
            json!({"blocks": [{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}]}),
            "invalid_blocks",
        ),
        (json!({"blocks": vec![section(&"x".repeat(2_500)); 5]}), "msg_blocks_too_long"),
    ] {
        assert_eq!(say(&url, body.clone()).await, (400, word.to_owned()), "{body}");
    }
    let other = url.replace("sandboxslackwebhook", "guessed");
    assert_eq!(say(&other, json!({"text": "x"})).await, (403, "invalid_token".to_owned()));
    let other = url.replace("B0SANDBOX", "B1");
    assert_eq!(say(&other, json!({"text": "x"})).await, (404, "no_service".to_owned()));
    let answer = http.post(&url).body("{").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (400, "invalid_payload"));
    assert!(sandbox.world().chats.messages.is_empty(), "nothing that was refused is kept");
    // What is just within the limits is taken; and the older way, a form.
    let most = json!({"text": "x", "blocks": [
        section(&"x".repeat(3_000)), {"type": "section", "fields": vec![plain("x"); 10]},
        {"type": "actions", "elements": vec![button("https://a.example"); 25]},
    ]});
    assert_eq!(say(&url, most).await, (200, "ok".to_owned()));
    let answer = http.post(&url).form(&[("payload", "{\"text\": \"by form\"}")]).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ok");
    let last = sandbox.world().chats.messages.back().unwrap().1.clone();
    assert_eq!(last, ChatMessage::Slack { text: "by form".to_owned(), blocks: Vec::new() });
}

#[tokio::test]
async fn twilio_refuses_what_twilio_refuses() {
    let (sandbox, http) = sandbox().await;
    let [account, token, sender] = sandbox.twilio();
    let resource = format!("{}/2010-04-01/Accounts/{account}", sandbox.url());
    let say = async |who: (&str, &str), resource: &str, fields: &[(&str, &str)]| {
        let request = http.post(format!("{resource}/Messages.json")).basic_auth(who.0, Some(who.1));
        let answer = request.form(fields).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let us = (account, token);
    let (to, long) = (("To", "whatsapp:+43155501234"), "x".repeat(1_601));
    let from = ("From", sender);
    let template = ("ContentSid", "HX0123456789abcdef0123456789abcdef");
    let cases: [(&[(&str, &str)], u64); 11] = [
        (&[from, ("Body", "x")], 21_604),
        (&[to, ("Body", "x")], 21_603),
        (&[to, from], 21_619),
        (&[to, from, ("Body", "")], 21_619),
        (&[to, from, ("Body", &long)], 21_617),
        (&[("To", "whatsapp:0155501234"), from, ("Body", "x")], 21_211),
        (&[("To", "+43155501234"), from, ("Body", "x")], 63_007),
        (&[to, ("From", "whatsapp:+4915550000"), ("Body", "x")], 63_007),
        (&[to, from, ("ContentSid", "HX1")], 21_655),
        (&[to, from, template, ("ContentVariables", "[1]")], 21_656),
        (&[to, from, template, ("ContentVariables", "{\"1\": \"\"}")], 21_656),
    ];
    for (fields, code) in cases {
        let (status, answer) = say(us, &resource, fields).await;
        assert_eq!(
            (status, answer["code"].as_u64(), answer["status"].as_u64()),
            (400, Some(code), Some(400)),
            "{answer}"
        );
    }
    let whole = [to, from, ("Body", "x")];
    let (status, answer) = say((account, "guessed"), &resource, &whole).await;
    assert_eq!((status, &answer["code"]), (401, &json!(20_003)));
    let (status, answer) =
        say(us, &resource.replace(account, "AC0123456789abcdef0123456789abcdef"), &whole).await;
    assert_eq!((status, &answer["code"]), (404, &json!(20_404)));
    // JSON is no form, so that nothing is in it.
    let json = http
        .post(format!("{resource}/Messages.json"))
        .basic_auth(account, Some(token))
        .json(&json!({"To": to.1}));
    assert_eq!(json.send().await.unwrap().json::<Value>().await.unwrap()["code"], 21_604);
    assert!(sandbox.world().chats.messages.is_empty(), "nothing that was refused is kept");
    let (status, answer) =
        say(us, &resource, &[to, from, template, ("ContentVariables", "{\"2\": \"b\", \"1\": \"a\"}")]).await;
    assert_eq!((status, &answer["status"], &answer["body"]), (201, &json!("queued"), &json!("a b")));
    let message = format!("{resource}/Messages/{}.json", answer["sid"].as_str().unwrap());
    let seen = http.get(message).basic_auth(account, Some(token)).send().await.unwrap();
    assert_eq!(seen.json::<Value>().await.unwrap()["status"], "delivered");
    assert!(page(&sandbox).await.contains("a<br>b"));
}

#[tokio::test]
async fn the_last_are_kept_newest_first_and_none_runs() {
    let (sandbox, http) = sandbox().await;
    let hostile =
        "<https://x.example/\"onclick=\"y|<b>z</b>> <javascript:alert(1)|go> &lt;img src=x&gt; `<i>`";
    for number in 0..70 {
        let blocks = json!([section(&format!("number {number}. {hostile}")), {"type": "actions", "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": "<u>"}, "url": "javascript:alert(1)"}]}]);
        let body = json!({"text": "<script>alert(1)</script>", "blocks": blocks});
        assert_eq!(http.post(sandbox.slack_webhook_url()).json(&body).send().await.unwrap().status(), 200);
    }
    let html = page(&sandbox).await;
    assert!(html.contains("number 69.") && html.contains("number 10.") && !html.contains("number 9."));
    assert!(html.find("number 69.") < html.find("number 10."));
    for part in ["<script", "<img", "<b>", "<i>", "<u>", "href=\"javascript", "\"onclick=\""] {
        assert!(!html.contains(part), "{part} in:\n{html}");
    }
    let home = http.get(format!("{}/", sandbox.url())).send().await.unwrap().text().await.unwrap();
    assert!(home.contains("/-/chats\">Slack and WhatsApp</a> <span class=\"quiet\">60 messages"), "{home}");
}
