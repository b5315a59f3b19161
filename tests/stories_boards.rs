//! Stories: people decide by a card's column and by quick actions in comments, and the service follows as it does labels.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a story that fails, panics"
)]

mod support;

use serde_json::json;
use support::{STATES, World, is_allowed, way_to};
use vorhoelle::sandbox::HookMode;

const NO_STATE: &str = "An open match needs one of the state labels";

/// A world with a board that has a list for every state.
async fn with_board() -> World {
    let world = World::new().await;
    world.make_board();
    world
}

/// The column of a match in this state; a closed card lies in the Closed column, whatever its labels are.
fn column(state: &str) -> String {
    if matches!(state, "rejected" | "sent") { "Closed".to_owned() } else { format!("job-match/{state}") }
}

async fn drag(world: &World, iid: u64, from: &str, to: &str) {
    world.reviewer().drag(iid, from, to).unwrap();
    world.settle().await;
}

/// A new match that was brought into a state by its card.
async fn in_state(world: &World, external_id: &str, state: &str) -> u64 {
    let iid = world.stage(external_id).await;
    let mut from = "pending";
    for to in way_to(state) {
        drag(world, iid, &column(from), &format!("job-match/{to}")).await;
        from = to;
    }
    world.expect(iid, state).await;
    iid
}

#[tokio::test]
async fn every_cell_of_the_table_by_a_dragged_card() {
    let mut world = with_board().await;
    for from in STATES {
        for to in STATES.into_iter().filter(|to| *to != from) {
            let iid = in_state(&world, &format!("{from}-{to}"), from).await;
            if from == "sent" {
                let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
                assert_eq!(answer["allowed_states"], json!(["approved"]), "{answer}");
            }
            drag(&world, iid, &column(from), &format!("job-match/{to}")).await;
            world.expect(iid, if is_allowed(from, to) { to } else { from }).await;
            if !is_allowed(from, to) {
                world.expect_comment(iid, "no step from");
            }
        }
    }
    world.finish().await;
}

/// Neither column stands for a state: whoever drags a card there takes every label with a list off.
#[tokio::test]
async fn a_card_in_the_open_or_closed_column_is_where_its_opening_or_closing_leads() {
    let mut world = with_board().await;
    for (from, to, end, said) in [
        ("pending", "Closed", "rejected", None),
        ("approved", "Closed", "rejected", None),
        ("rejected", "Open", "pending", None),
        ("sent", "Open", "approved", None),
        ("pending", "Open", "pending", Some(NO_STATE)),
        ("approved", "Open", "approved", Some(NO_STATE)),
    ] {
        let iid = in_state(&world, &format!("{from}-{to}"), from).await;
        drag(&world, iid, &column(from), to).await;
        world.expect(iid, end).await;
        if let Some(said) = said {
            world.expect_comment(iid, said);
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn an_approved_match_that_got_sent_beside_and_was_closed_unheard_is_sent() {
    let world = World::new().await;
    let iid = world.stage_in("1", "approved").await;
    world.sandbox.hook_mode(HookMode::Lose);
    world.reviewer().relabel(iid, &["job-match/sent"], &[]).unwrap();
    world.reviewer().close(iid).unwrap();
    world.settle().await;
    assert_eq!(world.state(iid).await, "approved");
    world.delta().await;
    world.expect(iid, "sent").await;
    let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
    let to: Vec<_> = answer["history"].as_array().unwrap().iter().map(|step| step["to"].clone()).collect();
    assert_eq!(to, ["approved", "sent"]);
    world.finish().await;
}

#[tokio::test]
async fn what_a_person_does_by_a_quick_action_is_their_act_like_any_other() {
    let mut world = World::new().await;
    for (from, text, end, said) in [
        ("pending", "/label ~\"job-match/approved\"", "approved", None),
        ("pending", "Rather not.\n\n/close", "rejected", None),
        ("rejected", "/reopen", "pending", None),
        ("pending", "/unlabel ~\"job-match/pending\"\n/label ~\"job-match/approved\"", "approved", None),
        ("pending", "/label ~\"job-match/approved\" ~\"job-match/rejected\"", "pending", Some("ambiguous")),
        ("approved", "/unlabel ~\"job-match/approved\"", "approved", Some(NO_STATE)),
    ] {
        let iid = world.stage_in(text, from).await;
        world.reviewer().comment(iid, text).unwrap();
        world.settle().await;
        world.expect(iid, end).await;
        if let Some(said) = said {
            world.expect_comment(iid, said);
        }
        let (_, answer) = world.get(&format!("/api/v1/matches/{iid}")).await;
        let steps = answer["history"].as_array().unwrap();
        assert!(steps.iter().all(|step| step["by"] == "reviewer" && step["through"] == "gitlab"), "{answer}");
    }
    let fired = std::mem::take(&mut world.sandbox.world().fired_quick_actions);
    assert_eq!(fired.len(), 7, "{fired:?}");
    assert!(fired.iter().all(|one| one.user == "reviewer"), "{fired:?}");
    world.finish().await;
}
