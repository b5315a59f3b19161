//! The settings form while somebody else changes them too.

use reqwest::StatusCode;
use serde_json::json;

use super::support::World;
use super::visitor::Browser;
use super::{MAIL, description, save, set, settings_form};

/// The form is shown again because of something else, a value that cannot be or a test of a channel.
#[tokio::test]
async fn what_somebody_else_changed_is_nobodys_own_change_where_the_form_is_shown_again() {
    for is_test in [false, true] {
        let world = World::set(&MAIL).await;
        let browser = Browser::of(&world).await;
        let min_score = async |score: u64| {
            world
                .call(world.http.patch(world.url("/api/v1/config")).json(&json!({ "min_score": score })))
                .await
                .0
        };
        assert_eq!(min_score(70).await, StatusCode::OK);
        let mut mine = settings_form(&browser.get("/settings").await);
        assert_eq!(min_score(80).await, StatusCode::OK);
        let page = if is_test {
            set(&mut mine, "channels.email.delay", "45m");
            mine.push(("channel".to_owned(), "todo".to_owned()));
            let fields: Vec<(&str, &str)> =
                mine.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            browser.send("/settings/test", &fields).await
        } else {
            set(&mut mine, "channels.email.delay", "soon");
            let page = save(&browser, &mine).await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
            page
        };
        page.shows("name=\"min_score\" value=\"80\"");
        let mut mine = settings_form(&page);
        set(&mut mine, "channels.email.delay", "30m");
        // Neither a conflict about it, nor is it written back.
        assert_eq!(min_score(75).await, StatusCode::OK);
        assert_eq!(save(&browser, &mine).await.location, "/settings?saved=1");
        let text = description(&world, 1);
        assert!(text.contains("min_score: 75") && text.contains("delay: 30m"), "{text}");
        // What the visitor did type is still theirs.
        let mut mine = settings_form(&browser.get("/settings").await);
        set(&mut mine, "min_score", "60");
        set(&mut mine, "channels.email.delay", "soon");
        let page = save(&browser, &mine).await;
        assert_eq!(min_score(85).await, StatusCode::OK);
        let mut mine = settings_form(&page);
        set(&mut mine, "channels.email.delay", "40m");
        assert_eq!(save(&browser, &mine).await.status, StatusCode::CONFLICT);
    }
}
