//! Labels that are renamed while nobody hears of it.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Disk, World, job};

#[tokio::test]
async fn the_labels_of_matches_and_of_the_settings_are_ours_after_a_rename() {
    for disk in [Disk::Kept, Disk::Wiped] {
        let mut world = World::new().await;
        let (first, second) = (world.stage("1").await, world.stage("2").await);
        let change = world.http.patch(world.url("/api/v1/config")).json(&json!({ "min_score": 80 }));
        assert_eq!(world.call(change).await.0, StatusCode::OK);
        world.settle().await;
        world.kill(disk).await;
        world.sandbox.as_user("owner").rename_label("job-match", "Treffer").unwrap();
        world.sandbox.as_user("owner").rename_label("job-match/settings", "Einstellungen").unwrap();
        world.reviewer().relabel(first, &["job-match/approved"], &["job-match/pending"]).unwrap();
        world.start().await;
        world.delta().await;
        assert_eq!(world.state(first).await, "approved", "{disk:?}");
        assert_eq!(world.labels(first), ["Treffer", "job-match/approved"]);
        let mut poor = job("3");
        poor["score"] = json!(75);
        let (status, answer) = world.post(&poor).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "the settings rule: {answer}");
        let third = world.stage("4").await;
        assert_eq!(world.labels(third), ["Treffer", "job-match/pending"]);
        world.reviewer().relabel(second, &[], &["Treffer"]).unwrap();
        world.settle().await;
        assert_eq!(world.state(second).await, "none");
        let names: Vec<String> =
            world.sandbox.world().labels.iter().map(|label| label.name.clone()).collect();
        assert_eq!(names.len(), 6, "there is never a second one: {names:?}");
    }
}
