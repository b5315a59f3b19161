//! Stories: a pipeline reads what there is and what was decided.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

mod support;

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use support::{Disk, World};
use vorhoelle::sandbox::{Fault, Trouble};

async fn furnished() -> World {
    let world = World::new().await;
    for (id, score, company) in [("1", 70.0, "Alpha"), ("2", 99.5, "Beta"), ("3", 85.0, "Älpha & Söhne")] {
        let body = json!({"title": format!("Job {id}"), "score": score, "company": company, "source": "s", "external_id": id});
        assert_eq!(world.post(&body).await.0, StatusCode::CREATED);
        world.clock.advance(std::time::Duration::from_secs(3600));
    }
    world.settle().await;
    world
}

fn iids(answer: &Value) -> Vec<u64> {
    answer["matches"].as_array().unwrap().iter().map(|one| one["iid"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn matches_are_listed_filtered_and_sorted() {
    let world = furnished().await;
    world.reviewer().relabel(1, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    for (query, expected) in [
        ("", vec![3, 2, 1]),
        ("?state=pending", vec![3, 2]),
        ("?min_score=85", vec![3, 2]),
        ("?sort=score", vec![2, 3, 1]),
        ("?sort=updated", vec![1, 3, 2]),
        ("?q=ÄLPHA", vec![3]),
        // The same letter as two characters, as some systems write it.
        ("?q=a%CC%88lpha", vec![3]),
        ("?q=job%20beta", vec![2]),
        ("?since=2026-11-23T09:30:00Z", vec![3]),
        ("?since=2026-11-23T10:30:00%2B01:00", vec![3]),
        ("?since=2026-11-23", vec![3, 2, 1]),
        ("?since=23.11.2026", vec![3, 2, 1]),
        ("?since=2026-11-24", vec![]),
        ("?limit=2", vec![3, 2]),
    ] {
        let (status, answer) = world.get(&format!("/api/v1/matches{query}")).await;
        assert_eq!((status, iids(&answer)), (StatusCode::OK, expected), "{query}");
    }
    for wrong in [
        "?limit=0",
        "?limit=501",
        "?limit=x",
        "?state=open",
        "?cursor=x",
        "?colour=red",
        "?since=yesterday",
        "?since=2026-02-30",
        "?min_score=NaN",
        "?min_score=inf",
        "?min_score=101",
        "?sort=best",
    ] {
        let (status, answer) = world.get(&format!("/api/v1/matches{wrong}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        let field = wrong[1..].split('=').next().unwrap();
        assert_eq!(answer["errors"][0]["field"], field, "{wrong}: {answer}");
    }
    let (status, answer) = world.get("/api/v1/decisions?since=gestern").await;
    assert_eq!((status, &answer["errors"][0]["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("since")));
    let many = ["word"; 1_000].join("%20");
    let (status, answer) = world.get(&format!("/api/v1/matches?q={many}")).await;
    assert_eq!((status, &answer["errors"][0]["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("q")));
    world.finish().await;
}

/// Base64 of a place behind whatever SQLite can count.
#[tokio::test]
async fn numbers_that_are_too_large_for_the_mirror_name_nothing() {
    let world =
        World::set(&[("PUBLIC_URL", "https://jobs.example"), ("LINK_SECRET", "key-of-the-links-0123456789")])
            .await;
    let (status, answer) = world.get("/api/v1/decisions?cursor=MC4xODQ0Njc0NDA3MzcwOTU1MTYxNS4x").await;
    assert_eq!((status, &answer["errors"][0]["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("cursor")));
    for path in ["/api/v1/matches/18446744073709551615", "/a/18446744073709551615.approve.email.1.AAAA"] {
        assert_eq!(world.get(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    world.finish().await;
}

#[tokio::test]
async fn addresses_lead_through_the_path_below_which_a_proxy_shows_the_service() {
    let world = World::set(&[("PUBLIC_URL", "https://example.com/jobs/")]).await;
    for (status, location) in [(StatusCode::CREATED, "made"), (StatusCode::OK, "there")] {
        let request = world.http.post(world.url("/api/v1/matches")).bearer_auth(support::TOKEN);
        let answer =
            request.header("idempotency-key", location).json(&support::job("1")).send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["location"], "/jobs/api/v1/matches/1");
    }
    world.stage("2").await;
    let request = world.http.get(world.url("/api/v1/matches?limit=1")).bearer_auth(support::TOKEN);
    let link = request.send().await.unwrap().headers()["link"].to_str().unwrap().to_owned();
    assert!(link.starts_with("</jobs/api/v1/matches?limit=1&cursor="), "{link}");
    let document = world.get("/docs/openapi.json").await.1;
    assert_eq!(document["servers"], json!([{"url": "/jobs"}]));
    world.finish().await;
}

#[tokio::test]
async fn pages_are_followed_by_cursor_and_by_link() {
    let world = furnished().await;
    let mut path = "/api/v1/matches?limit=1&sort=score".to_owned();
    let mut seen = Vec::new();
    loop {
        let answer = world.http.get(world.url(&path)).bearer_auth(support::TOKEN).send().await.unwrap();
        let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        let answer: Value = answer.json().await.unwrap();
        seen.extend(iids(&answer));
        let Some(link) = link else { break };
        assert!(link.contains(answer["next_cursor"].as_str().unwrap()) && link.ends_with("rel=\"next\""));
        path = link.split_once('<').unwrap().1.split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(seen, [2, 3, 1]);
    // A place in one order is none in another.
    let (_, page) = world.get("/api/v1/matches?limit=1&sort=score").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let (status, problem) = world.get(&format!("/api/v1/matches?cursor={cursor}")).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("cursor"))
    );
    world.finish().await;
}

#[tokio::test]
async fn decisions_are_told_in_order_and_with_the_same_ids_after_a_lost_disk() {
    let mut world = furnished().await;
    world.reviewer().relabel(2, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.patch(1, &json!({"state": "rejected", "comment": "too far"})).await;
    world.expect_comment(1, "too far");
    world.settle().await;
    world.reviewer().reopen(1).unwrap();
    world.settle().await;
    let (_, all) = world.get("/api/v1/decisions").await;
    let told: Vec<String> = all["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {}→{} {} {}", one["iid"], one["from"], one["to"], one["by"], one["through"]))
        .map(|line| line.replace('"', ""))
        .collect();
    assert_eq!(
        told,
        [
            "2 pending→approved reviewer gitlab",
            "1 pending→rejected pipeline api",
            "1 rejected→pending reviewer gitlab"
        ]
    );
    assert_eq!(
        (&all["decisions"][1]["comment"], &all["decisions"][1]["score"]),
        (&json!("too far"), &json!(70))
    );
    let (_, first) = world.get("/api/v1/decisions?limit=2").await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let (_, rest) = world.get(&format!("/api/v1/decisions?cursor={cursor}")).await;
    assert_eq!(rest["decisions"], json!([all["decisions"][2]]));
    world.restart(Disk::Wiped).await;
    assert_eq!(world.get("/api/v1/decisions").await.1, all);
    let (_, stats) = world.get("/api/v1/stats").await;
    assert_eq!(stats["states"], json!({"pending": 2, "approved": 1, "rejected": 0, "sent": 0}));
    assert_eq!(stats["matches_per_week"], json!([{"week": "2026-W48", "matches": 3}]));
    let hours = stats["median_hours_to_decision"].as_f64().unwrap();
    assert!((hours - 2.5).abs() < 0.01, "2 and 3 hours, and a few seconds: {hours}");
    world.finish().await;
}

#[tokio::test]
async fn while_history_is_being_read_decisions_and_figures_are_503() {
    let mut world = furnished().await;
    world.reviewer().relabel(2, &["job-match/approved"], &[]).unwrap();
    world.settle().await;
    world.kill(Disk::Wiped).await;
    world.start().await;
    let need_history = ["/api/v1/decisions", "/api/v1/stats"];
    // What is not known yet is not gone, nor is there nothing.
    for path in need_history.into_iter().chain(["/api/v1/matches", "/api/v1/matches/2"]) {
        let (status, problem) = world.get(path).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {problem}");
    }
    let bad = vorhoelle::sandbox::Trouble::bad_gateway();
    world.sandbox.fault(vorhoelle::sandbox::Fault::any("label_events", bad).times(99));
    assert!(world.engine.delta().await.is_err());
    for path in need_history {
        let answer = world.http.get(world.url(path)).bearer_auth(support::TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(answer.headers().contains_key("retry-after"), "{path}");
    }
    assert_eq!(world.get("/api/v1/matches/2").await.1["state"], "approved", "the state is known already");
    world.sandbox.clear_faults();
    world.delta().await;
    assert_eq!(world.get("/api/v1/decisions").await.1["decisions"].as_array().unwrap().len(), 1);
    assert!(world.get("/api/v1/stats").await.1["median_hours_to_decision"].is_f64());
    world.finish().await;
}

/// GitLab, or what stands before it, may answer for one issue what nobody can read.
#[tokio::test]
async fn an_issue_whose_history_cannot_be_read_does_not_keep_the_others_from_being_read() {
    let mut world = furnished().await;
    for iid in [1, 2] {
        world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    }
    world.settle().await;
    world.kill(Disk::Wiped).await;
    world.sandbox.fault(unreadable("issues/1/resource_label_events"));
    world.start().await;
    world.engine.delta().await.unwrap();
    assert!(world.engine.mirror().record(2).unwrap().unwrap().history_is_read());
    world.sandbox.clear_faults();
    world.delta().await;
    assert_eq!(world.get("/api/v1/decisions").await.1["decisions"].as_array().unwrap().len(), 2);
    world.finish().await;
}

/// A page before all of GitLab is not asked once for every match.
#[tokio::test]
async fn where_no_history_can_be_read_the_reading_ends_and_begins_again() {
    let mut world = World::new().await;
    for id in 1..=20 {
        let iid = world.stage(&id.to_string()).await;
        world.reviewer().relabel(iid, &["job-match/approved"], &[]).unwrap();
    }
    world.settle().await;
    world.kill(Disk::Wiped).await;
    world.sandbox.fault(unreadable("/resource_label_events"));
    world.start().await;
    world.sandbox.clear_calls();
    let error = world.engine.delta().await.unwrap_err().to_string();
    assert!(error.contains("GitLab"), "{error}");
    let asked = world.sandbox.calls().into_iter().filter(|call| call.path.contains("label_events")).count();
    assert!(asked <= 20, "ten, each twice: {asked}");
    world.sandbox.clear_faults();
    world.delta().await;
    assert_eq!(world.get("/api/v1/decisions").await.1["decisions"].as_array().unwrap().len(), 20);
    world.finish().await;
}

/// What nobody saw is told once GitLab is read anew, and stands at its own time.
#[tokio::test]
async fn a_decision_keeps_its_id_where_others_come_to_stand_before_it() {
    let mut world = furnished().await;
    world.reviewer().relabel(1, &["job-match/approved"], &["job-match/pending"]).unwrap();
    world.reviewer().relabel(1, &["job-match/pending"], &["job-match/approved"]).unwrap();
    world.settle().await;
    world.clock.advance(Duration::from_secs(1200));
    world.reviewer().relabel(1, &["job-match/rejected"], &["job-match/pending"]).unwrap();
    world.settle().await;
    let last = async |world: &World| {
        let (_, told) = world.get("/api/v1/decisions").await;
        let told = told["decisions"].as_array().unwrap().clone();
        assert_eq!(told.last().unwrap()["to"], "rejected");
        (told.last().unwrap()["id"].clone(), told.len())
    };
    let (before, seen) = last(&world).await;
    world.restart(Disk::Wiped).await;
    world.delta().await;
    let (after, all) = last(&world).await;
    assert!(all > seen, "{all} decisions, as many as before");
    assert_eq!(before, after);
    world.finish().await;
}

fn unreadable(path: &str) -> Fault {
    let nonsense = Trouble::Answer {
        status: 200,
        content_type: "application/json".to_owned(),
        body: r#"[{"id": "one"}]"#.to_owned(),
        retry_after: None,
    };
    Fault::any(path, nonsense).times(99)
}
