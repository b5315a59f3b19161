//! Pictures of the pages: two for the README, and every page for whoever changes how they look.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::driver::{Browser, Look};
use super::{SMALL, board_of, every_page, finish, opened, world};

/// Largest picture in the tree, in bytes.
const LARGEST: usize = 300 * 1024;

fn keep(name: &str, picture: &[u8]) {
    assert!(picture.len() < LARGEST, "{name} has {} bytes", picture.len());
    std::fs::write(Path::new("tests/pictures").join(name), picture).unwrap();
}

/// `tests/run --pictures`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes pictures into the tree"]
async fn of_inbox_and_board() {
    let world = world().await;
    world.clock.advance(Duration::from_secs(47 * 60));
    world.patch(4, &json!({ "state": "approved" })).await;
    world.patch(5, &json!({ "state": "rejected" })).await;
    world.settle().await;
    world.check_hook("owner").await;
    let look = Look { width: 1200, height: 1500, ..Look::default() };
    let Some(browser) = opened(&world, look).await else { return };
    keep("inbox.png", &browser.picture().await);
    finish(browser).await;
    let look = Look { width: 1640, height: 760, ..look };
    let Some(browser) = Browser::open(world.url(""), look).await else { return };
    browser.go(&board_of(&world)).await;
    keep("board.png", &browser.picture().await);
    finish(browser).await;
}

/// Every page on a desk and on a telephone, by day and by night, into a folder that is not kept; the test says which.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "for eyes"]
async fn of_every_page() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pictures");
    std::fs::create_dir_all(&folder).unwrap();
    for (size, look) in [("desk", Look::default()), ("telephone", SMALL)] {
        for (light, dark, language) in [("day", false, "en"), ("night", true, "de")] {
            let world = world().await;
            let look = Look { dark, language, ..look };
            let Some(browser) = Browser::open(world.url(""), look).await else { return };
            every_page(&world, &browser, async |name| {
                let name = name.replace(|letter: char| !letter.is_alphanumeric(), "-");
                let file = folder.join(format!("{size}-{light}-{name}.png"));
                std::fs::write(file, browser.whole_picture().await).unwrap();
            })
            .await;
            finish(browser).await;
        }
    }
    eprintln!("{}", folder.display());
}
