//! The issue of a match: where it may stand, what its deadline becomes, whose its description is.

use reqwest::StatusCode;
use serde_json::json;
use vorhoelle::sandbox::{Options, Visibility};

use crate::support::{Difference, Disk, World, job};

#[tokio::test]
async fn a_deadline_is_the_issues_due_date() {
    let world = World::new().await;
    let mut body = job("1");
    body["deadline"] = json!("2026-12-15");
    let (status, answer) = world.post(&body).await;
    assert_eq!((status, &answer["deadline"]), (StatusCode::CREATED, &json!("2026-12-15")), "{answer}");
    let without = world.stage("2").await;
    let due = |iid: u64| world.sandbox.world().issue(iid).unwrap().due_date.map(|date| date.to_string());
    assert_eq!((due(1).as_deref(), due(without)), (Some("2026-12-15"), None));
    world.finish().await;
}

#[tokio::test]
async fn a_project_that_strangers_can_read_is_used_only_where_the_file_allows_it() {
    for visibility in [Visibility::Internal, Visibility::Public] {
        for (file, is_allowed) in
            [("language: en\n", false), ("language: en\nallow_public_project: true\n", true)]
        {
            let options = Options { visibility, ..Options::default() };
            let world =
                World::asleep(Difference { options, file: Some(file), ..Difference::default() }).await;
            assert_eq!(world.engine.delta().await.is_ok(), is_allowed, "{visibility:?}");
            let (status, answer) = world.post(&job("1")).await;
            if is_allowed {
                assert_eq!(status, StatusCode::CREATED, "{answer}");
                world.expect(1, "pending").await;
            } else {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
                assert!(answer["detail"].as_str().unwrap().contains("not private"), "{answer}");
                let gitlab = world.sandbox.world();
                assert!(gitlab.issues.is_empty() && gitlab.labels.is_empty(), "nothing is written");
            }
        }
    }
}

#[tokio::test]
async fn a_description_that_a_person_edited_is_never_written_over() {
    let mut world = World::new().await;
    let iid = world.stage("1").await;
    let description = |world: &World| world.sandbox.world().issue(iid).unwrap().description.clone().unwrap();
    let edited = format!("Called them, they want a CV first.\n\n{}", description(&world));
    world.reviewer().edit_description(iid, &edited).unwrap();
    world.settle().await;
    for turn in 0..2 {
        let state = if turn == 0 { "approved" } else { "pending" };
        assert_eq!(world.patch(iid, &json!({ "state": state })).await.0, StatusCode::OK);
        world.settle().await;
        assert_eq!(description(&world), edited, "after a decision through the API");
        let tracked = json!({ "next_step": format!("anrufen {turn}") });
        let url = world.url(&format!("/api/v1/matches/{iid}/application"));
        assert_eq!(world.call(world.http.patch(url).json(&tracked)).await.0, StatusCode::OK);
        world.settle().await;
        assert_eq!(description(&world), edited, "after a change in the tracker");
        world.reviewer().relabel(iid, &["job-match/rejected"], &[]).unwrap();
        world.settle().await;
        world.expect(iid, "rejected").await;
        assert_eq!(description(&world), edited, "after a decision in GitLab");
        world.restart(Disk::Wiped).await;
        world.delta().await;
        world.expect(iid, "rejected").await;
        assert_eq!(description(&world), edited, "after a lost disk");
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        assert_eq!((&answer["company"], &answer["score"]), (&json!("Amoria Bond"), &json!(97)), "{answer}");
    }
    for part in ["**pipeline**", "anrufen 1", "**pipeline**"] {
        world.expect_comment(iid, part);
    }
    world.finish().await;
}
