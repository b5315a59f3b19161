//! The GitLab client against a GitLab that behaves as badly as the real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use secrecy::SecretString;
use serde_json::json;
use vorhoelle::clock::Clock;
use vorhoelle::gitlab::issues::{IssueChange, NewIssue};
use vorhoelle::gitlab::{Connection, Gitlab, GitlabError, Patience, Project};
use vorhoelle::sandbox::{Fault, Options, Sandbox, Trouble};

/// A client with the bot's token; its pauses are steps of a clock.
async fn client(url: &str, token: &str) -> (Gitlab, Clock) {
    let clock = Clock::stepped("2026-11-23T08:00:00Z".parse().unwrap());
    let connection = Connection {
        url: url.parse().unwrap(),
        token: SecretString::from(token),
        extra_ca: None,
        patience: Patience { call: Duration::from_millis(500), ..Patience::default() },
    };
    (Gitlab::new(connection, clock.clone(), Arc::new(|_| {})).unwrap(), clock)
}

async fn sandbox(options: Options) -> (Sandbox, Project, Clock) {
    let sandbox = Sandbox::start(options).await.unwrap();
    let (gitlab, clock) = client(sandbox.url(), &sandbox.token("bot")).await;
    let (project, _) = gitlab.project(&sandbox.project()).await.unwrap();
    (sandbox, project, clock)
}

fn new_issue(title: &str) -> NewIssue {
    NewIssue {
        title: title.into(),
        description: "text".into(),
        labels: vec!["a".into()],
        assignee: None,
        due_date: None,
    }
}

#[tokio::test]
async fn a_reaction_is_told_by_the_name_that_gitlab_gives_it() {
    let (_sandbox, project, _) = sandbox(Options::default()).await;
    let iid = project.create_issue(&new_issue("x")).await.unwrap().iid;
    let given = project.react(iid, "email").await.unwrap();
    assert_eq!(given.map(|given| given.name).as_deref(), Some("e-mail"));
    assert!(project.react(iid, "e-mail").await.unwrap().is_none(), "it is there already");
    assert!(project.react(iid, "no such thing").await.is_err());
}

#[tokio::test]
async fn every_label_event_is_read_although_pages_are_short() {
    let (sandbox, project, _) = sandbox(Options { short_pages: true, ..Options::default() }).await;
    let iid = project.create_issue(&new_issue("x")).await.unwrap().iid;
    for round in 0..60 {
        let labels = [format!("l{round}"), format!("m{round}")];
        sandbox.as_user("owner").relabel(iid, &[&labels[0], &labels[1]], &[]).unwrap();
    }
    let all = sandbox.world().label_events.len();
    assert!(all > 100, "more than a page");
    let read = project.label_events(iid).await.unwrap();
    assert_eq!(read.len(), all);
    assert!(read.is_sorted_by_key(|event| (event.created_at, event.id)));
}

#[tokio::test]
async fn a_path_prefix_is_kept() {
    let (sandbox, project, _) = sandbox(Options { prefix: "/gitlab".into(), ..Options::default() }).await;
    assert_eq!(project.create_issue(&new_issue("x")).await.unwrap().iid, 1);
    assert!(sandbox.calls().iter().all(|call| call.status < 300), "{:?}", sandbox.calls());
}

#[tokio::test]
async fn what_may_be_repeated_is_and_a_post_that_may_have_been_run_is_not() {
    let (sandbox, project, _) = sandbox(Options::default()).await;
    let iid = project.create_issue(&new_issue("x")).await.unwrap().iid;
    for trouble in [Trouble::bad_gateway(), Trouble::CutBefore, Trouble::DropAnswer, Trouble::status(503)] {
        sandbox.fault(Fault::any("/issues", trouble.clone()).times(2));
        assert!(project.issue(iid).await.is_ok(), "{trouble:?}");
        sandbox.fault(Fault::any("/issues", trouble.clone()).times(2));
        let change = IssueChange { add_labels: vec!["b".into()], ..IssueChange::default() };
        assert!(project.change_issue(iid, &change).await.is_ok(), "{trouble:?}");
        sandbox.clear_calls();
        sandbox.fault(Fault::any("/issues", trouble.clone()));
        let error = project.create_issue(&new_issue("y")).await.unwrap_err();
        assert!(error.is_unclear(), "{trouble:?}: {error}");
        assert_eq!(sandbox.calls().len(), 1, "{trouble:?}");
    }
}

#[tokio::test]
async fn limits_are_waited_out_where_they_are_short_and_handed_on_where_they_are_long() {
    let (sandbox, project, clock) = sandbox(Options::default()).await;
    let start = clock.now();
    sandbox.fault(Fault::any("/issues", Trouble::rate_limited(3)).times(2));
    project.create_issue(&new_issue("x")).await.unwrap();
    assert_eq!(clock.now().duration_since(start).as_secs(), 6);
    sandbox.fault(Fault::any("/issues", Trouble::rate_limited(600)));
    let error = project.create_issue(&new_issue("y")).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(600)));
    sandbox.fault(Fault::any("/issues", Trouble::application_limit()).times(99));
    let error = project.create_issue(&new_issue("y")).await.unwrap_err();
    let wait = error.retry_after().unwrap();
    assert!(wait <= Duration::from_secs(65) && error.was_not_run(), "{error}: to the next minute, {wait:?}");
    assert_eq!(sandbox.world().issues.len(), 1);
}

#[tokio::test]
async fn a_slow_body_is_given_up_in_time() {
    let (sandbox, project, _) = sandbox(Options::default()).await;
    sandbox.fault(Fault::any("/issues", Trouble::slow_body(Duration::from_secs(60))));
    let error = project.create_issue(&new_issue("x")).await.unwrap_err();
    assert!(error.is_unclear() && error.to_string().contains("no answer in time"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_token_goes_nowhere_else() {
    let seen: Arc<Mutex<Vec<(Uri, HeaderMap)>>> = Arc::default();
    let log = Arc::clone(&seen);
    let app = Router::new().fallback(move |uri: Uri, headers: HeaderMap| {
        log.lock().unwrap().push((uri, headers));
        let elsewhere = "/api/v4/elsewhere?token=of-a-proxy";
        async move { (StatusCode::MOVED_PERMANENTLY, [("location", elsewhere)]).into_response() }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let (gitlab, _) = client(&url, "secret-token").await;
    let error = gitlab.current_user().await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::MOVED_PERMANENTLY));
    assert!(error.to_string().contains("/api/v4/elsewhere"), "{error}");
    assert!(!format!("{error} {error:?}").contains("of-a-proxy"), "{error:?}");
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].1["private-token"], "secret-token");
    assert!(!format!("{error:?}").contains("secret-token"));
}

#[tokio::test]
async fn names_lead_nowhere_else() {
    let (sandbox, _, _) = sandbox(Options::default()).await;
    let (gitlab, _) = client(sandbox.url(), &sandbox.token("bot")).await;
    sandbox.clear_calls();
    for name in ["..", ".", ""] {
        let refused = gitlab.project(name).await.map(|_| ()).unwrap_err();
        assert!(matches!(refused, GitlabError::NotSent(_)), "{name}: {refused}");
    }
    assert!(gitlab.project("../user").await.is_err_and(|error| error.is_gone()), "escaped, and not there");
    assert_eq!(sandbox.calls().len(), 1);
}

/// With its right length and status, so that nothing but its JSON says that it is broken; or another program's page.
#[tokio::test]
async fn an_answer_that_cannot_be_read_is_asked_for_once_more() {
    let (sandbox, project, _) = sandbox(Options::default()).await;
    let iid = project.create_issue(&new_issue("x")).await.unwrap().iid;
    for body in ["{\"id\": 1, \"iid", "<html>Bad gateway</html>", ""] {
        let (content_type, body) = ("application/json".to_owned(), body.to_owned());
        let broken = Trouble::Answer { status: 200, content_type, body, retry_after: None };
        sandbox.fault(Fault::any("/issues", broken.clone()));
        assert_eq!(project.issue(iid).await.unwrap().iid, iid);
        sandbox.fault(Fault::any("/issues", broken.clone()));
        let error = project.create_issue(&new_issue("y")).await.unwrap_err();
        assert!(error.is_unclear(), "a POST is not repeated: {error}");
        sandbox.fault(Fault::any("/issues", broken).times(2));
        assert!(matches!(project.issue(iid).await.unwrap_err(), GitlabError::Shape(_)), "it is no other");
    }
    for status in [520, 529] {
        sandbox.fault(Fault::any("/issues", Trouble::status(status)));
        assert_eq!(project.issue(iid).await.unwrap().iid, iid, "{status} is a proxy's");
    }
}

#[tokio::test]
async fn a_comment_whose_deletion_is_repeated_is_gone() {
    let (sandbox, project, _) = sandbox(Options::default()).await;
    let iid = project.create_issue(&new_issue("x")).await.unwrap().iid;
    let note = project.comment(iid, "Hello.").await.unwrap().id;
    sandbox.fault(Fault::any("/notes", Trouble::DropAnswer));
    project.delete_comment(iid, note).await.unwrap();
    assert!(project.notes(iid).await.unwrap().is_empty());
}

/// What GitLab documents of the bodies that we send.
#[tokio::test]
async fn everything_is_written_as_json() {
    type Bodies = Arc<Mutex<Vec<(String, String)>>>;
    let bodies = Bodies::default();
    let seen = bodies.clone();
    let receiver = Router::new().fallback(move |headers: HeaderMap, body: String| async move {
        let Some(kind) = headers.get("content-type") else {
            let web_url = "https://gitlab.example/team/jobs";
            return axum::Json(json!({"id": 1, "path_with_namespace": "team/jobs", "web_url": web_url}))
                .into_response();
        };
        seen.lock().unwrap().push((kind.to_str().unwrap().to_owned(), body));
        StatusCode::BAD_REQUEST.into_response()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, receiver).await });
    let (gitlab, _) = client(&url, "token").await;
    let (project, _) = gitlab.project("team/jobs").await.unwrap();
    let new =
        NewIssue { assignee: Some(7), due_date: Some("2026-12-24".parse().unwrap()), ..new_issue("ä") };
    project.create_issue(&new).await.unwrap_err();
    let change = IssueChange {
        add_labels: vec!["b".into(), "c".into()],
        close: Some(false),
        assignee: Some(7),
        ..IssueChange::default()
    };
    project.change_issue(1, &change).await.unwrap_err();
    project.comment(1, "a\u{2060}b").await.unwrap_err();
    project.edit_comment(1, 2, "c").await.unwrap_err();
    let bodies = bodies.lock().unwrap();
    assert!(bodies.iter().all(|(kind, _)| kind == "application/json"), "{bodies:?}");
    let bodies: Vec<serde_json::Value> =
        bodies.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
    assert_eq!(
        bodies,
        [
            json!({"title": "ä", "description": "text", "labels": "a", "assignee_ids": [7], "due_date": "2026-12-24"}),
            json!({"add_labels": "b,c", "state_event": "reopen", "assignee_ids": [7]}),
            json!({"body": "a\u{2060}b"}),
            json!({"body": "c"}),
        ]
    );
}

/// A GitLab that answers whatever it is asked with this.
async fn answers(link: &'static str, body: &'static str) -> Project {
    let app = Router::new().fallback(move |uri: Uri| async move {
        let project = r#"{"id": 1, "path_with_namespace": "a/b", "web_url": "https://gitlab.example/a/b"}"#;
        let body = if uri.path().ends_with("/projects/1") { project } else { body };
        let link = if uri.query().unwrap_or_default().contains("page=2") { "" } else { link };
        ([("link", link), ("content-type", "application/json")], body).into_response()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    client(&url, "token").await.0.project("1").await.unwrap().0
}

#[tokio::test]
async fn a_list_goes_on_where_its_link_says_and_never_ends_unread() {
    const NOTE: &str =
        r#"[{"id": 1, "body": null, "author": null, "system": null, "created_at": "2026-11-23T08:00:00Z"}]"#;
    let last = answers("", NOTE).await.notes(1).await.unwrap();
    assert_eq!((last.len(), last[0].author.id), (1, 0), "nobody's");
    let relative = answers(r#"</api/v4/x?page=2&per_page=100>; rel="next""#, NOTE).await;
    assert_eq!(relative.notes(1).await.unwrap().len(), 2);
    let two_links = answers(
        r#"<https://gitlab.example/x?page=1>; rel="first", <https://gitlab.example/x?page=2>; rel="next""#,
        NOTE,
    )
    .await;
    assert_eq!(two_links.notes(1).await.unwrap().len(), 2);
    let by_key = answers(r#"<https://gitlab.example/api/v4/x?cursor=abc>; rel="next""#, NOTE).await;
    let error = by_key.notes(1).await.unwrap_err();
    assert!(error.to_string().contains("cursor=abc"), "{error}");
}

/// A proxy may let through only the headers that it knows.
#[tokio::test]
async fn a_full_page_that_says_nothing_of_others_is_not_the_last() {
    for (is_paged, rows) in [(true, 180), (false, 100)] {
        let app = Router::new().fallback(move |uri: Uri| async move {
            let is_second = is_paged && uri.query().unwrap_or_default().ends_with("&page=2");
            let ids = if is_second { 101..=180 } else { 1..=100 };
            let note = |id: u64| json!({"id": id, "body": "", "created_at": "2026-11-23T08:00:00Z"});
            let notes: Vec<serde_json::Value> = ids.map(note).collect();
            let project =
                json!({"id": 1, "path_with_namespace": "a/b", "web_url": "https://gitlab.example/a/b"});
            let body = if uri.path().ends_with("/projects/1") { project } else { json!(notes) };
            axum::Json(body).into_response()
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let project = client(&url, "token").await.0.project("1").await.unwrap().0;
        assert_eq!(project.notes(1).await.unwrap().len(), rows);
    }
}

#[tokio::test]
async fn what_gitlab_says_of_a_refusal_is_told() {
    let (sandbox, project, _) = sandbox(Options::default()).await;
    for (status, body, said) in [
        (
            403,
            r#"{"error":"insufficient_scope","error_description":"It needs api.","scope":"api"}"#,
            "It needs api.",
        ),
        (409, r#"{"message":{"error":"spam"}}"#, "spam"),
        (400, r#"{"message":{"title":["can't be blank"]}}"#, "can't be blank"),
    ] {
        let (content_type, body) = ("application/json".to_owned(), body.to_owned());
        sandbox
            .fault(Fault::any("/issues", Trouble::Answer { status, content_type, body, retry_after: None }));
        let error = project.issue(1).await.unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains("{\"error"), "{error}");
    }
}
