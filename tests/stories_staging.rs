//! Stories: a pipeline stages matches.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

#[path = "stories_staging/issue.rs"]
mod issue;
mod support;

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Difference, Disk, World, job};
use vorhoelle::sandbox::{Fault, Options, Outage, Trouble};

#[tokio::test]
async fn a_posted_match_becomes_one_issue_as_the_contract_says() {
    let world = World::new().await;
    let (status, answer) = world.post(&job("1")).await;
    assert_eq!(status, StatusCode::CREATED);
    let iid = answer["iid"].as_u64().unwrap();
    assert_eq!(answer["state"], "pending");
    assert_eq!(answer["allowed_states"], json!(["approved", "rejected"]));
    assert_eq!(answer["fingerprint"].as_str().unwrap().len(), 64);
    assert_eq!(answer["description"], "We need you.\n\nApply now.");
    world.settle().await;
    world.expect(iid, "pending").await;
    {
        let gitlab = world.sandbox.world();
        let issue = gitlab.issue(iid).unwrap();
        assert_eq!(issue.title, "[97 %] Cloud Architect 1 – Amoria Bond");
        assert_eq!(issue.assignees, [gitlab.user_named("reviewer").unwrap().id]);
    }
    for reviewer in ["reviewer", "colleague"] {
        assert_eq!(world.sandbox.as_user(reviewer).todos().len(), 1, "a ToDo for {reviewer}");
    }
    let (status, again) = world.post(&job("1")).await;
    assert_eq!((status, &again["iid"]), (StatusCode::OK, &answer["iid"]));
    world.finish().await;
}

#[tokio::test]
async fn staging_costs_one_write() {
    let world = World::new().await;
    world.stage("warm-up").await;
    world.sandbox.clear_calls();
    world.stage("1").await;
    let calls = world.calls_by_bot();
    let writes: Vec<&String> = calls.iter().filter(|call| !call.starts_with("GET")).collect();
    assert_eq!(writes, ["POST /projects/:id/issues"], "{calls:?}");
    world.finish().await;
}

#[tokio::test]
async fn twenty_identical_posts_at_once_make_one_issue() {
    let world = World::new().await;
    let body = job("1");
    let posts = (0..20).map(|_| world.post(&body));
    let answers = futures_util::future::join_all(posts).await;
    let created = answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).count();
    assert_eq!(created, 1);
    assert!(answers.iter().all(|(_, answer)| answer["iid"] == answers[0].1["iid"]));
    assert_eq!(world.sandbox.world().issues.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn an_answer_that_got_lost_leads_to_no_second_issue() {
    // Our clock may be an hour ahead of GitLab's, or behind it.
    let jumps = [0, 3600, -3600];
    for (trouble, jump) in jumps.map(|jump| [(Trouble::DropAnswer, jump), (Trouble::CutBody, jump)]).concat()
    {
        let world = World::new().await;
        world.clock_jumps(jump);
        world.sandbox.fault(Fault::new(Method::POST, "/issues", trouble.clone()));
        let (status, answer) = world.post(&job("1")).await;
        assert_eq!(status, StatusCode::CREATED, "{trouble:?} {jump} {answer}");
        assert_eq!(world.sandbox.world().issues.len(), 1, "{trouble:?} {jump}");
        world.finish().await;
    }
}

#[tokio::test]
async fn an_answer_that_got_lost_while_gitlab_goes_down_is_cleared_up_by_the_next_post() {
    let mut world = World::new().await;
    world.sandbox.fault(Fault::new(Method::POST, "/issues", Trouble::DropAnswer));
    world.sandbox.fault(Fault::new(Method::GET, "/issues", Trouble::bad_gateway()).times(20));
    let (status, _) = world.post(&job("1")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    world.sandbox.clear_faults();
    world.restart(Disk::Kept).await;
    let (status, answer) = world.post(&job("1")).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(world.sandbox.world().issues.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_post_that_gitlab_never_ran_is_sent_again() {
    let world = World::new().await;
    for trouble in [Trouble::rate_limited(1), Trouble::application_limit()] {
        world.sandbox.fault(Fault::new(Method::POST, "/issues", trouble));
    }
    let (status, answer) = world.post(&job("1")).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(world.sandbox.world().issues.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn gitlab_down_is_503_and_nothing_is_accepted() {
    let world = World::new().await;
    world.sandbox.outage(Outage::BadGateway);
    let answer = world.http.post(world.url("/api/v1/matches")).bearer_auth(support::TOKEN).json(&job("1"));
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let (_, several) = world.post(&json!([job("1"), {"title": 7}])).await;
    assert_eq!(several["results"][0]["outcome"], "failed");
    assert_eq!(several["results"][0]["retry"], true);
    assert_eq!(several["results"][1]["outcome"], "invalid");
    world.sandbox.outage(Outage::None);
    assert_eq!(world.get("/api/v1/matches").await.1["matches"], json!([]));
    assert_eq!(world.post(&job("1")).await.0, StatusCode::CREATED);
    world.finish().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_field_by_field() {
    let world = World::new().await;
    let (status, problem) = world.post(&json!({"score": 0.97, "titel": "x"})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let fields: Vec<&str> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["title", "score", "titel"]);
    let (status, problem) = world.post(&json!({"title": "x", "score": 69.9})).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("score")));
    let no_json = world.http.post(world.url("/api/v1/matches")).body("{");
    assert_eq!(world.call(no_json).await.0, StatusCode::BAD_REQUEST);
    // A body that says itself that it is none; one that says nothing is looked at.
    for (path, body) in [("matches", job("1").to_string()), ("notify/test", "{}".to_owned())] {
        let form = world.http.post(world.url(&format!("/api/v1/{path}"))).body(body);
        let answer =
            form.header("content-type", "application/x-www-form-urlencoded").bearer_auth(support::TOKEN);
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    let many: Vec<Value> = (0..101).map(|n| job(&n.to_string())).collect();
    assert_eq!(world.post(&json!(many)).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(world.sandbox.world().issues.len(), 0);
    world.finish().await;
}

/// Half of an emoji, as a title has it that was cut by JavaScript; and what windows programs begin a text with.
#[tokio::test]
async fn of_several_one_that_cannot_be_read_fails_alone() {
    let world = World::new().await;
    let cut = r#"{"title": "cut \ud83d", "score": 80}"#;
    for (body, status) in [
        (format!("[{cut}, {}]", job("1")), StatusCode::OK),
        (cut.to_owned(), StatusCode::BAD_REQUEST),
        (format!("\u{feff}{}", job("2")), StatusCode::CREATED),
    ] {
        let request = world.http.post(world.url("/api/v1/matches")).bearer_auth(support::TOKEN);
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        assert_eq!(answer.status(), status);
        let answer: Value = answer.json().await.unwrap();
        if status == StatusCode::OK {
            assert_eq!((&answer["created"], &answer["invalid"]), (&json!(1), &json!(1)), "{answer}");
            let message = answer["results"][0]["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains("cannot be read"), "{message}");
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn of_several_a_bad_one_fails_alone() {
    let world = World::new().await;
    let (status, answer) =
        world.post(&json!([job("1"), job("1"), {"title": "x", "score": 12}, {"title": "x"}, 7])).await;
    assert_eq!(status, StatusCode::OK);
    let outcomes: Vec<&str> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes[2..], ["below_minimum", "invalid", "invalid"]);
    assert_eq!((&answer["created"], &answer["existing"]), (&json!(1), &json!(1)));
    assert_eq!(answer["results"][3]["index"], 3);
    world.finish().await;
}

#[tokio::test]
async fn an_idempotency_key_brings_the_same_answer() {
    let world = World::new().await;
    let post = |key: &'static str, body: Value| {
        world.call(world.http.post(world.url("/api/v1/matches")).header("idempotency-key", key).json(&body))
    };
    let first = post("a", job("1")).await;
    assert_eq!(first.0, StatusCode::CREATED);
    assert_eq!(post("a", job("1")).await, first, "the same answer, 201 included");
    assert_eq!(post("a", job("2")).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    world.clock.advance(std::time::Duration::from_secs(24 * 3600 + 1));
    assert_eq!(post("a", job("2")).await.0, StatusCode::CREATED);
    world.finish().await;
}

/// A match that nothing but the key tells from others.
#[tokio::test]
async fn under_an_idempotency_key_a_match_is_found_again_after_a_kill_before_the_answer() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let mut world = World::new().await;
        let one = json!({"title": "Cloud Architect", "score": 90});
        let several = json!([{"title": "A", "score": 90}, {"title": "A", "score": 90}]);
        for (key, body) in [("a", &one), ("b", &several)] {
            let request = world.http.post(world.url("/api/v1/matches")).header("idempotency-key", key);
            world.call(request.json(body)).await;
        }
        assert_eq!(world.sandbox.world().issues.len(), 3);
        world.kill(disk).await;
        if disk == Disk::Kept {
            world.spoil_mirror(
                "DELETE FROM matches; DELETE FROM answers; DELETE FROM facts WHERE name = 'cursor'",
            );
        }
        world.start().await;
        world.delta().await;
        for (key, body) in [("a", &one), ("b", &several)] {
            let request = world.http.post(world.url("/api/v1/matches")).header("idempotency-key", key);
            let (status, answer) = world.call(request.json(body)).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
        }
        let other = world.http.post(world.url("/api/v1/matches")).header("idempotency-key", "c");
        assert_eq!(world.call(other.json(&one)).await.0, StatusCode::CREATED);
        assert_eq!(world.sandbox.world().issues.len(), 4);
        world.finish().await;
    }
}

#[tokio::test]
async fn a_decision_made_before_gitlabs_answer_has_arrived_is_not_forgotten() {
    let world = World::new().await;
    let slow = Trouble::slow_body(Duration::from_secs(10));
    world.sandbox.fault(Fault::new(Method::POST, "/issues", slow));
    let first = job("1");
    let ((status, answer), ()) = tokio::join!(world.post(&first), async {
        while world.sandbox.world().issues.is_empty() {
            tokio::task::yield_now().await;
        }
        world.reviewer().relabel(1, &["job-match/approved"], &[]).unwrap();
        world.until_met(1).await;
        world.settle().await;
        world.sandbox.end_pauses();
    });
    assert_eq!((status, &answer["state"]), (StatusCode::CREATED, &json!("approved")));
    world.expect(1, "approved").await;
    world.finish().await;
}

#[tokio::test]
async fn an_idempotency_key_that_is_being_worked_on_is_409() {
    let world = World::new().await;
    let post = || {
        let request = world.http.post(world.url("/api/v1/matches")).header("idempotency-key", "a");
        world.call(request.json(&job("1")))
    };
    world.sandbox.fault(Fault::new(Method::POST, "/issues", Trouble::slow_body(Duration::from_secs(10))));
    let ((first, _), second) = tokio::join!(post(), async {
        while world.sandbox.world().issues.is_empty() {
            tokio::task::yield_now().await;
        }
        let (second, _) = post().await;
        world.sandbox.end_pauses();
        second
    });
    assert_eq!((first, second), (StatusCode::CREATED, StatusCode::CONFLICT));
    assert_eq!(post().await.0, StatusCode::CREATED, "the first answer, remembered");
    assert_eq!(world.sandbox.world().issues.len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn the_same_role_through_another_agency_is_linked_in_the_new_issue_alone() {
    let world = World::new().await;
    let offer = |id: &str, agency: &str| json!({"title": "Cloud Architect", "score": 90, "source": "s", "external_id": id, "agency": agency, "end_client": "Wiener Netze"});
    let (_, first) = world.post(&offer("1", "Hays")).await;
    let (_, second) = world.post(&offer("2", "Amoria Bond")).await;
    assert_eq!(second["possible_duplicates"], json!([first["iid"]]));
    let (first, second) = (first["iid"].as_u64().unwrap(), second["iid"].as_u64().unwrap());
    {
        let gitlab = world.sandbox.world();
        let text = |iid| gitlab.issue(iid).unwrap().description.clone().unwrap();
        assert!(text(second).contains(&format!("#{first}")));
        assert!(!text(first).contains('#'));
        let back: Vec<_> = gitlab.notes.iter().filter(|note| note.iid == first && note.system).collect();
        assert!(back.iter().any(|note| note.body.contains(&format!("#{second}"))), "{back:?}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_gitlab_that_drops_labels_and_assignee_is_set_right() {
    let world = World::with(Difference {
        options: Options { free_tier: true, ..Options::default() },
        ..Difference::default()
    })
    .await;
    // Somebody deletes the label just before: GitLab would make it again without its mark.
    world.sandbox.as_user("owner").delete_label("job-match/pending").unwrap();
    let iid = world.stage("1").await;
    world.delta().await;
    world.expect(iid, "pending").await;
    let names: Vec<String> = world.sandbox.world().labels.iter().map(|label| label.name.clone()).collect();
    assert_eq!(names.iter().filter(|name| *name == "job-match/pending").count(), 1);
    world.finish().await;
}

/// The assignees of an issue.
fn assigned(world: &World, iid: u64) -> Vec<u64> {
    world.sandbox.world().issue(iid).unwrap().assignees.clone()
}

#[tokio::test]
async fn an_issue_that_gitlab_assigned_to_nobody_gets_its_reviewer_however_fast_the_delivery_is() {
    let world = World::with(Difference {
        options: Options { creates_unassigned: true, ..Options::default() },
        ..Difference::default()
    })
    .await;
    let reviewer = world.sandbox.world().user_named("reviewer").unwrap().id;
    assert_eq!(assigned(&world, world.stage("1").await), [reviewer]);
    // GitLab's delivery arrives before its answer.
    let slow = Trouble::SlowBody { millis: 300 };
    world.sandbox.fault(Fault::new(Method::POST, "/issues", slow));
    let body = job("2");
    let ((status, _), ()) = tokio::join!(world.post(&body), world.until_met(2));
    assert_eq!(status, StatusCode::CREATED);
    world.settle().await;
    assert_eq!(assigned(&world, 2), [reviewer]);
    world.finish().await;
}

#[tokio::test]
async fn what_was_not_compared_before_a_kill_is_set_right_after_it() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    let reviewer = assigned(&world, iid);
    world.kill(Disk::Wiped).await;
    if let Some(issue) = world.sandbox.world().issues.get_mut(&iid) {
        issue.assignees.clear();
        issue.confidential = true;
    }
    world.start().await;
    world.engine.delta().await.unwrap();
    world.settle().await;
    assert_eq!(assigned(&world, iid), reviewer);
    assert!(!world.sandbox.world().issue(iid).unwrap().confidential);
    world.finish().await;
}

#[tokio::test]
async fn a_copy_of_gitlab_that_does_not_know_a_new_issue_yet_loses_no_match() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.sandbox.fault(Fault::new(Method::GET, &format!("/issues/{iid}"), Trouble::status(404)).times(2));
    let none = Trouble::Answer {
        status: 200,
        content_type: "application/json".to_owned(),
        body: "[]".to_owned(),
        retry_after: None,
    };
    world.sandbox.fault(Fault::new(Method::GET, "iids", none).times(2));
    world.engine.hint(iid, vorhoelle::engine::Hint::default());
    world.settle().await;
    let (status, answer) = world.post(&job("1")).await;
    assert_eq!((status, answer["iid"].as_u64()), (StatusCode::OK, Some(iid)), "{answer}");
    world.sandbox.clear_faults();
    world.clock.advance(std::time::Duration::from_secs(30));
    world.settle().await;
    world.expect(iid, "pending").await;
    // One that is gone is gone.
    world.sandbox.as_user("owner").delete_issue(iid).unwrap();
    world.engine.hint(iid, vorhoelle::engine::Hint::default());
    world.settle().await;
    assert_eq!(world.get(&format!("/api/v1/matches/{iid}")).await.0, StatusCode::NOT_FOUND);
    world.finish().await;
}

#[tokio::test]
async fn a_title_that_nobody_can_see_is_none() {
    let world = World::new().await;
    for title in ["", " ", "\u{200b} ", "\u{2060}\u{202e}\u{feff}", "\u{ad}\u{3164}"] {
        let mut body = job("1");
        body["title"] = json!(title);
        let (status, answer) = world.post(&body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{title:?}");
        assert_eq!(answer["errors"][0]["field"], "title");
    }
    world.finish().await;
}

#[tokio::test]
async fn creation_stays_below_gitlabs_limit() {
    let world = World::with(Difference {
        options: Options { issues_per_minute: Some(200), ..Options::default() },
        ..Difference::default()
    })
    .await;
    let start = world.clock.now();
    for chunk in (0..400).collect::<Vec<_>>().chunks(100) {
        let body: Vec<Value> = chunk.iter().map(|n| job(&n.to_string())).collect();
        let mut answer = world.post(&json!(body)).await.1;
        while answer["failed"] != json!(0) {
            world.clock.advance(std::time::Duration::from_secs(10));
            answer = world.post(&json!(body)).await.1;
        }
    }
    assert_eq!(world.sandbox.world().issues.len(), 400);
    let refused = world.sandbox.calls().iter().filter(|call| call.status == 429).count();
    assert_eq!(refused, 0, "GitLab never had to refuse");
    assert!(world.clock.now().duration_since(start).as_secs() >= 120);
}

#[tokio::test]
async fn the_api_wants_a_token() {
    let world = World::new().await;
    for token in ["", "wrong", "token-of-the-pipelinE"] {
        let request = world.http.get(world.url("/api/v1/matches")).bearer_auth(token);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    let answer =
        world.http.get(world.url("/api/v1/matches")).header("x-request-id", "my-id").send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "my-id");
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
    let (status, _) = world.get("/api/v1/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    world.finish().await;
}

#[tokio::test]
async fn under_an_idempotency_key_what_failed_is_tried_again() {
    let world = World::new().await;
    let body = json!([job("1"), job("2")]);
    let post = || {
        world.call(world.http.post(world.url("/api/v1/matches")).header("idempotency-key", "k").json(&body))
    };
    // All of it fails: the call does. One of two: it is said, and the same call mends it.
    world.sandbox.outage(vorhoelle::sandbox::Outage::BadGateway);
    assert_eq!(post().await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.sandbox.outage(vorhoelle::sandbox::Outage::None);
    let refused = vorhoelle::sandbox::Trouble::status(403);
    world.sandbox.fault(vorhoelle::sandbox::Fault::new(reqwest::Method::POST, "/issues", refused));
    let (status, answer) = post().await;
    assert_eq!((status, &answer["created"], &answer["failed"]), (StatusCode::OK, &json!(1), &json!(1)));
    world.clock.advance(std::time::Duration::from_secs(60));
    let (status, answer) = post().await;
    assert_eq!((status, &answer["created"], &answer["existing"]), (StatusCode::OK, &json!(1), &json!(1)));
    let (_, again) = post().await;
    assert_eq!(again, answer, "now it is final");
}

#[tokio::test]
async fn of_two_equal_matches_in_one_call_the_first_is_staged() {
    let world = World::new().await;
    for number in 0..10 {
        let (mut first, mut second) = (job(&number.to_string()), job(&number.to_string()));
        first["title"] = json!("First");
        second["title"] = json!("Second");
        let (_, answer) = world.post(&json!([first, job("other"), second])).await;
        assert_eq!(answer["results"][0]["outcome"], "created", "{answer}");
        assert_eq!(answer["results"][2]["outcome"], "existing", "{answer}");
        assert_eq!(answer["results"][2]["match"]["title"], "First");
    }
}

#[tokio::test]
async fn what_is_wrong_in_any_body_is_named() {
    let world = World::new().await;
    world.stage("1").await;
    for (method, path, body, field) in [
        (reqwest::Method::PATCH, "/api/v1/matches/1", json!({}), "state"),
        (reqwest::Method::PATCH, "/api/v1/matches/1", json!({"state": "approved", "why": 1}), "why"),
        (reqwest::Method::PATCH, "/api/v1/matches/1", json!({"state": "approved", "comment": 4}), "comment"),
        (reqwest::Method::PUT, "/api/v1/matches/1/draft", json!({"subject": "x"}), "body"),
        (reqwest::Method::PATCH, "/api/v1/config", json!({"batch": {"mod": "digest"}}), "batch.mod"),
        (reqwest::Method::PATCH, "/api/v1/config", json!({"min_score": "much"}), "min_score"),
        (reqwest::Method::POST, "/api/v1/notify/test", json!({"channel": ["email"]}), "channel"),
        (reqwest::Method::POST, "/api/v1/notify/test", json!({"channels": ["pigeon"]}), "channels[0]"),
        // The fields in their order are no object.
        (reqwest::Method::PATCH, "/api/v1/matches/1", json!(["approved", "why"]), ""),
        (reqwest::Method::PUT, "/api/v1/matches/1/draft", json!(["a@b.example", "s", "b", []]), ""),
        (reqwest::Method::POST, "/api/v1/matches/1/send", json!(["why"]), ""),
        (reqwest::Method::POST, "/api/v1/notify/test", json!([["email"]]), ""),
    ] {
        let (status, problem) = world.call(world.http.request(method, world.url(path)).json(&body)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {body}: {problem}");
        assert_eq!(problem["errors"][0]["field"], field, "{path} {body}: {problem}");
        assert_ne!(problem["errors"][0]["message"], "", "{path} {body}: {problem}");
    }
    world.expect(1, "pending").await;
    let (status, problem) = world.get("/api/v1/matches/%ff").await;
    assert_eq!((status, &problem["title"]), (StatusCode::NOT_FOUND, &json!("Not Found")), "{problem}");
}

/// It is staged, and nobody will see it: the pipeline is told both.
#[tokio::test]
async fn a_match_that_was_withdrawn_is_posted_again() {
    let world = World::new().await;
    let iid = world.stage("1").await;
    world.reviewer().relabel(iid, &[], &["job-match"]).unwrap();
    world.settle().await;
    let request = world.http.post(world.url("/api/v1/matches")).bearer_auth(support::TOKEN).json(&job("1"));
    let answer = request.send().await.unwrap();
    assert_eq!((answer.status(), answer.headers().get("location")), (StatusCode::OK, None));
    let answer: Value = answer.json().await.unwrap();
    assert_eq!((&answer["withdrawn"], &answer["allowed_states"]), (&json!(true), &json!([])));
    assert_eq!(world.get(&format!("/api/v1/matches/{iid}")).await.0, StatusCode::NOT_FOUND);
    world.finish().await;
}
