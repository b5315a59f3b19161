//! What people read in GitLab: title, body and comments, as reviewed snapshots; and what programs read back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use pulldown_cmark::{Event, Parser, Tag};
use serde_json::{Value, json};
use uuid::Uuid;
use vorhoelle::domain::inert::Wanted;
use vorhoelle::domain::{JobMatch, Language, posted_match};
use vorhoelle::gitlab::issue_text::{BodyContext, Staged, body, comment, read_back, title};
use vorhoelle::templates::Templates;

fn staged(job: Value) -> Staged {
    Staged { job: posted_match::parse(job).unwrap(), nonce: Uuid::nil() }
}

/// The demo's best match.
fn architect() -> Staged {
    let matches: Vec<Value> = serde_json::from_str(include_str!("../config/demo-matches.json")).unwrap();
    staged(matches[0].clone())
}

fn render(staged: &Staged, language: Language) -> String {
    let templates = Templates::load(None).unwrap();
    let context = BodyContext {
        language,
        mentions: vec!["colleague".into()],
        possible_duplicates: vec![3, 7],
        gitlab_host: Some("gitlab.example".into()),
    };
    body(&templates, staged, &context).unwrap()
}

#[test]
fn a_whole_match_in_german() {
    insta::assert_snapshot!(render(&architect(), Language::De));
}

#[test]
fn a_whole_match_in_english() {
    insta::assert_snapshot!(render(&architect(), Language::En));
}

#[test]
fn a_bare_match() {
    let templates = Templates::load(None).unwrap();
    let bare = staged(json!({"title": "Rust", "score": 70}));
    let context = BodyContext { language: Language::En, ..BodyContext::default() };
    insta::assert_snapshot!(body(&templates, &bare, &context).unwrap());
}

#[test]
fn an_address_at_gitlab_itself_is_no_link_for_it_could_be_a_reference() {
    let body = render(
        &staged(json!({"title": "x", "score": 70, "url": "https://gitlab.example/a/b/-/issues/1"})),
        Language::En,
    );
    assert!(!body.contains("](http") && body.contains("gitlab.example/a/b"), "{body}");
}

#[test]
fn a_link_leads_where_its_address_does_whatever_markdown_would_read_in_it() {
    let target = |url: &str| {
        let body = render(&staged(json!({"title": "x", "score": 70, "url": url})), Language::En);
        let (_, behind) = body.split_once("](http").unwrap_or_else(|| panic!("no link in {body}"));
        format!("http{}", behind.split_once(')').unwrap().0)
    };
    for (posted, written) in [
        ("https://gitlab.example&sol;a/b/-/issues/1", "https://gitlab.example&amp;sol;a/b/-/issues/1"),
        (
            "https://jobs.example/?a=1&#47;&#x2f;&amp;",
            "https://jobs.example/?a=1&amp;#47;&amp;#x2f;&amp;amp;",
        ),
        ("https://jobs.example/?a=1&b=2;c&;&#;d", "https://jobs.example/?a=1&b=2;c&;&#;d"),
    ] {
        assert_eq!(target(posted), written);
        let markdown = format!("[x]({written})");
        let mut read = Parser::new(&markdown).filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. }) => Some(dest_url.to_string()),
            _ => None,
        });
        assert_eq!(read.next().as_deref(), Some(posted));
    }
}

#[test]
fn titles() {
    let title = |job: Value| title(&posted_match::parse(job).unwrap());
    assert_eq!(
        title(json!({"title": "Cloud Architect", "company": "Amoria Bond", "score": 97.9})),
        "[97 %] Cloud Architect – Amoria Bond"
    );
    assert_eq!(title(json!({"title": "Dev", "agency": "Hays", "score": 70})), "[70 %] Dev – Hays");
    assert_eq!(vorhoelle::gitlab::issue_text::title(&JobMatch::titled("Imported")), "Imported");
}

#[test]
fn a_body_reads_back_whatever_people_wrote_around_it() {
    let staged = architect();
    let body = render(&staged, Language::De);
    assert_eq!(read_back(&body), Some(staged.clone()));
    let edited = format!("Notes of mine\n\n{}\n\nmore of them", body.replace('\n', "\r\n"));
    assert_eq!(read_back(&edited), Some(staged));
    let with_a_fence = format!("{body}\n\nmine:\n\n```json\n{{\"a\": 1}}\n```\n");
    assert_eq!(read_back(&with_a_fence).as_ref(), Some(&architect()));
    for none in ["", "text", "```json\n{\n```", "```json\n{\"vorhoelle\":1}\n```"] {
        assert_eq!(read_back(none), None, "{none}");
    }
}

#[test]
fn an_advertisement_that_is_too_long_is_cut_and_that_is_said() {
    let long = staged(json!({"title": "x", "score": 70, "description": "@".repeat(200_000)}));
    let body = render(&long, Language::En);
    assert!(body.len() <= 900_000, "{}", body.len());
    assert!(body.contains("The advertisement was too long and is cut here."));
    let read = read_back(&body).unwrap().job.description.unwrap();
    assert!(long.job.description.unwrap().starts_with(&read) && read.len() > 100_000, "{}", read.len());
}

#[test]
fn a_match_that_fits_into_no_issue_is_refused() {
    let mut large = staged(json!({"title": "x", "score": 70}));
    large.job.skills.matched = vec!["ü".repeat(1000); 500];
    let error = body(&Templates::load(None).unwrap(), &large, &BodyContext::default()).unwrap_err();
    assert!(error.to_string().contains("too large"), "{error}");
}

#[test]
fn a_template_that_puts_foreign_text_into_a_bad_place_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("issue.en.md"), "/label {{ company }}").unwrap();
    let templates = Templates::load(Some(folder.path())).unwrap();
    let context = BodyContext { language: Language::En, ..BodyContext::default() };
    let error = body(&templates, &architect(), &context).unwrap_err().to_string();
    assert!(error.contains("issue.en.md") && error.contains("slash"), "{error}");
}

/// Every comment that the service writes, in both languages.
#[test]
fn comments() {
    let templates = Templates::load(None).unwrap();
    let mut said = String::new();
    let refusals = [
        json!({"kind": "ambiguous", "state": "pending", "to": null, "who": null, "allowed": ["approved", "rejected"]}),
        json!({"kind": "not_allowed", "state": "pending", "to": "sent", "who": null, "allowed": ["approved", "rejected"]}),
        json!({"kind": "not_allowed", "state": "sent", "to": "pending", "who": null, "allowed": ["approved"]}),
        json!({"kind": "no_state", "state": "approved", "to": null, "who": null, "allowed": ["pending"]}),
        json!({"kind": "no_reviewer", "state": "pending", "to": null, "who": "eve", "allowed": ["approved"]}),
    ];
    let decisions = [
        json!({"to": "approved", "by": "pipeline", "through": "api", "comment": null, "hidden": "<!-- vorhoelle {} -->"}),
        json!({"to": "rejected", "by": "cli", "through": "cli", "comment": "too far", "hidden": "<!-- vorhoelle {} -->"}),
        json!({"to": "rejected", "by": "service", "through": "service", "comment": "not decided in time", "hidden": "<!-- vorhoelle {} -->"}),
        json!({"to": "pending", "by": "service", "through": "service", "comment": null, "hidden": "<!-- vorhoelle {} -->"}),
    ];
    let wanted = vorhoelle::domain::inert::Wanted { mentions: Vec::new(), references: vec![12] };
    for language in ["de", "en"] {
        let texts = [
            ("refusal", &refusals[..]),
            ("decision", &decisions[..]),
            ("duplicate", &[json!({"first": 12})][..]),
        ];
        for (name, contexts) in texts {
            for context in contexts {
                let file = format!("comments/{name}.{language}.md");
                let text =
                    vorhoelle::gitlab::issue_text::comment(&templates, &file, context, &wanted).unwrap();
                said.push_str(&format!("--- {file}\n{}\n", text.trim()));
            }
        }
    }
    insta::assert_snapshot!(said);
}

/// Whoever overrides a template may not know what the service must find again after a lost disk.
#[test]
fn what_is_read_back_stands_there_although_somebodys_template_leaves_it_out() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("comments")).unwrap();
    std::fs::write(folder.path().join("issue.en.md"), "A job at {{ company }}.\n").unwrap();
    std::fs::write(folder.path().join("comments/told.en.md"), "Times.\n").unwrap();
    let templates = Templates::load(Some(folder.path())).unwrap();
    let staged = staged(json!({"title": "Rust", "score": 70, "company": "Amoria Bond"}));
    let context = BodyContext { language: Language::En, ..BodyContext::default() };
    let body = body(&templates, &staged, &context).unwrap();
    assert!(body.starts_with("A job at Amoria Bond."), "{body}");
    assert_eq!(read_back(&body), Some(staged));
    let hidden = "<!-- vorhoelle told {} -->";
    let context = json!({ "hidden": hidden });
    let text = comment(&templates, "comments/told.en.md", &context, &Wanted::default()).unwrap();
    assert_eq!(text, format!("Times.\n\n{hidden}"));
}
