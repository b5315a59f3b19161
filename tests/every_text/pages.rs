//! Every page, of a service with much to show and of one with nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use mail_parser::MessageParser;
use reqwest::redirect::Policy;
use reqwest::{Client, header};
use serde_json::{Value, json};

use crate::smtp::{MailServer, Mood};
use crate::support::{Difference, TOKEN, World, job};
use crate::{folder, texts};

const MARK: &str = "<!-- template ";
const PUBLIC: &str = "https://jobs.example";

/// The templates that made a page: each leaves a mark of its own.
pub fn templates_of(html: &str) -> BTreeSet<String> {
    let names = html.split(MARK).skip(1);
    names.map(|rest| rest.split(" -->").next().unwrap().to_owned()).collect()
}

/// The pages' templates, each with a mark of its own.
fn marked() -> tempfile::TempDir {
    let marked = tempfile::tempdir().unwrap();
    std::fs::create_dir(marked.path().join("pages")).unwrap();
    for entry in std::fs::read_dir(folder().join("pages")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        if Path::new(file).extension().is_some_and(|end| end == "html")
            && !["time.html", "field.html"].contains(&file)
        {
            let source = std::fs::read_to_string(&path).unwrap();
            let mark = format!("{MARK}pages/{file} -->");
            // What extends another template shows only what stands in its blocks.
            let source = match source.split_once("{% block main %}") {
                Some((before, after)) if source.starts_with("{% extends") => {
                    format!("{before}{{% block main %}}{mark}{after}")
                }
                _ => format!("{source}{mark}"),
            };
            std::fs::write(marked.path().join("pages").join(file), source).unwrap();
        }
    }
    marked
}

struct Visitor<'a> {
    world: &'a World,
    http: Client,
    language: &'static str,
    cookie: String,
    seen: Vec<(String, String)>,
}

impl<'a> Visitor<'a> {
    fn new(world: &'a World, language: &'static str) -> Self {
        let http = Client::builder().tls_certs_only([]).redirect(Policy::none()).build().unwrap();
        Self { world, http, language, cookie: String::new(), seen: Vec::new() }
    }

    async fn take(&mut self, what: String, request: reqwest::RequestBuilder) -> String {
        let request = request.header(header::COOKIE, &self.cookie).header(header::ACCEPT, "text/html");
        let answer = request.header(header::ACCEPT_LANGUAGE, self.language).send().await.unwrap();
        if let Some(cookie) = answer.headers().get(header::SET_COOKIE) {
            cookie.to_str().unwrap().split(';').next().unwrap().clone_into(&mut self.cookie);
        }
        let (status, html) = (answer.status(), answer.text().await.unwrap());
        if !html.is_empty() {
            assert!(html.contains(&format!("<html lang=\"{}\"", self.language)), "{what}: {status}\n{html}");
            self.seen.push((what, html.clone()));
        }
        html
    }

    async fn get(&mut self, path: &str) -> String {
        let request = self.http.get(self.world.url(path));
        self.take(path.to_owned(), request).await
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> String {
        let page = self.get("/status").await;
        let form = page.split("name=\"form\" value=\"").nth(1).map(|rest| rest.split('"').next().unwrap());
        let fields = [&[("form", form.unwrap_or_default())], fields].concat();
        let request = self.http.post(self.world.url(path)).form(&fields);
        self.take(format!("{path} with {fields:?}"), request).await
    }
}

/// Every page in a language, with the address that it was at.
pub async fn all(language: &'static str) -> Vec<(String, String)> {
    let templates = marked();
    let mut seen = much(language, templates.path()).await;
    seen.extend(nothing(language, templates.path()).await);
    seen
}

async fn world(templates: &Path, language: &'static str, more: &[(&'static str, &'static str)]) -> World {
    let templates: &'static str = Box::leak(templates.to_str().unwrap().to_owned().into_boxed_str());
    let variables = [&[("TEMPLATES", templates)], more].concat();
    let file = if language == "de" { "language: de\n" } else { "language: en\n" };
    World::with(Difference { variables, file: Some(file), ..Difference::default() }).await
}

async fn nothing(language: &'static str, templates: &Path) -> Vec<(String, String)> {
    let world = world(templates, language, &[]).await;
    let mut visitor = Visitor::new(&world, language);
    visitor.get("/login").await;
    let request = visitor.http.post(world.url("/login")).form(&[("token", TOKEN), ("next", "/stats")]);
    visitor.take("/login with a token".to_owned(), request).await;
    for path in [
        "/",
        "/?state=sent",
        "/?q=nobody",
        "/stats",
        "/settings",
        "/status",
        "/matches/1",
        "/a/none",
        "/nowhere",
    ] {
        visitor.get(path).await;
    }
    visitor.seen
}

async fn much(language: &'static str, templates: &Path) -> Vec<(String, String)> {
    let mails = MailServer::start(false).await;
    let address: &'static str = Box::leak(format!("smtp://{}", mails.address).into_boxed_str());
    let more = [
        ("SMTP_URL", address),
        ("MAIL_FROM", "jobs@example.com"),
        ("MAIL_TO", "anna@example.com"),
        ("PUBLIC_URL", PUBLIC),
        ("LINK_SECRET", "key-of-the-links-0123456789"),
    ];
    let world = world(templates, language, &more).await;
    let mut visitor = Visitor::new(&world, language);
    let request = visitor.http.post(world.url("/login")).form(&[("token", "wrong"), ("next", "/")]);
    visitor.take("/login with a wrong token".to_owned(), request).await;
    let request = visitor.http.post(world.url("/login")).form(&[("token", TOKEN), ("next", "/")]);
    visitor.take("/login with a token".to_owned(), request).await;
    furnish(&world, &mails).await;
    // Opened by whom a mail was forwarded to.
    for path in links(&mails) {
        visitor.get(&path).await;
    }
    for path in [
        "/",
        "/?state=approved",
        "/?state=sent",
        "/?q=architect",
        "/?limit=1",
        "/stats",
        "/settings",
        "/status",
    ] {
        visitor.get(path).await;
    }
    for iid in 1..=7 {
        for path in ["", "/draft", "/send"] {
            visitor.get(&format!("/matches/{iid}{path}")).await;
        }
    }
    visitor.post("/decide", &[("iid", "4"), ("state", "rejected"), ("back", "/")]).await;
    visitor.get("/?done=2.pending").await;
    visitor
        .post("/decide", &[("iid", "2"), ("iid", "99"), ("state", "sent"), ("back", "/"), ("comment", "why")])
        .await;
    visitor.post("/decide", &[("state", "sent"), ("back", "/")]).await;
    visitor.post("/matches/3/draft", &[("to", "clara"), ("subject", ""), ("body", "x")]).await;
    visitor.post("/matches/1/application", &[("applied_on", "7.2."), ("rtr", "maybe")]).await;
    visitor.post("/matches/1/application", &[("next_step", "call"), ("stage", "offer")]).await;
    visitor.get("/matches/1?said=noted").await;
    visitor.post("/matches/1/application", &[("next_step", "wait"), ("stage", "applied")]).await;
    visitor.post("/settings/test", &[("channel", "email")]).await;
    // A banner on every page.
    let (status, answer) =
        world.call(world.http.patch(world.url("/api/v1/config")).json(&json!({"min_score": 65}))).await;
    assert!(status.is_success(), "{answer}");
    let issue = answer["settings_issue"].as_u64().unwrap();
    world.reviewer().edit_description(issue, "```yaml\nmin_score: 300\nremind_after: bald\n```").unwrap();
    world.settle().await;
    visitor.get("/settings").await;
    if let Some(path) = links(&mails).first() {
        let request = visitor.http.post(world.url(path)).form(&[("comment", "fine")]);
        visitor.take(format!("{path}, its button"), request).await;
    }
    visitor.seen
}

/// The paths of the links in the mails.
fn links(mails: &MailServer) -> Vec<String> {
    let mut paths = Vec::new();
    for mail in mails.mails() {
        let parsed = MessageParser::default().parse(&mail.message).unwrap();
        let text = parsed.body_text(0).unwrap().into_owned();
        let links = text.split_whitespace().filter_map(|word| word.strip_prefix(PUBLIC));
        paths.extend(links.filter(|path| path.starts_with("/a/")).map(str::to_owned));
    }
    paths
}

/// Matches in every state, with drafts in every stage: 1 says all, 2 nothing, 3 has no draft, 4 one, 5 one in doubt, 6 is
/// sent, 7 rejected.
async fn furnish(world: &World, mails: &MailServer) {
    let mut jobs: Vec<Value> = vec![texts::full(), texts::bare()];
    jobs.extend((3..=7).map(|number| job(&number.to_string())));
    for (place, job) in jobs.iter_mut().enumerate() {
        if place > 1 {
            job["contact"] = json!({"name": "Clara", "email": "clara@agency.example"});
        }
        let (status, answer) = world.post(job).await;
        assert!(status.is_success(), "{answer}");
        world.settle().await;
    }
    world.tell().await;
    for iid in 3..=6_u64 {
        let state = json!({"state": "approved", "comment": "call Clara"});
        assert!(world.patch(iid, &state).await.0.is_success());
    }
    assert!(world.patch(7, &json!({"state": "rejected"})).await.0.is_success());
    let stage = json!({"stage": "applied", "notes": "x", "follow_up_on": "2026-12-01"});
    let url = world.url("/api/v1/matches/6/application");
    assert!(world.call(world.http.patch(url).json(&stage)).await.0.is_success());
    for iid in 4..=6_u64 {
        let draft = json!({"to": "clara@agency.example", "subject": "Architect", "body": "Dear **Clara**"});
        let put = world.http.put(world.url(&format!("/api/v1/matches/{iid}/draft"))).json(&draft);
        assert!(world.call(put).await.0.is_success());
    }
    for (iid, mood) in [(5, Mood::GoneAfterMessage), (6, Mood::Fine)] {
        mails.set_mood(mood);
        world.clock.advance(Duration::from_secs(1));
        let send = world.http.post(world.url(&format!("/api/v1/matches/{iid}/send")));
        world.call(send).await;
    }
    world.settle().await;
}
