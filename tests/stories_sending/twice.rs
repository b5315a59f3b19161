//! Several orders, several instances, lost answers: one mail.

use reqwest::{Method, StatusCode};
use serde_json::json;
use vorhoelle::domain::history::Through;
use vorhoelle::engine::ErasureError;
use vorhoelle::outgoing::{OutgoingError, SendRequest};
use vorhoelle::sandbox::{Fault, Trouble};

use super::smtp::Mood;
use super::{desk, drafted, send, the_match};

#[tokio::test]
async fn an_attempts_lost_answer_is_found_again() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    world.sandbox.fault(Fault::new(Method::POST, "/notes", Trouble::DropAnswer));
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
    world.expect_comment(iid, "sent the application");
    assert_eq!(mails.mails().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn two_instances_at_once_send_one_mail() {
    for round in 0..5 {
        let (mut world, mails) = desk().await;
        let iid = drafted(&mut world, &round.to_string()).await;
        let other = world.another_instance().await;
        other.engine.delta().await.unwrap();
        let (one, two) = (world.outgoing.clone(), other.outgoing.clone());
        let first = one.send(iid, SendRequest::default(), "a", Through::Api);
        let second = two.send(iid, SendRequest::default(), "b", Through::Api);
        let (first, second) = tokio::join!(first, second);
        assert!(mails.mails().len() <= 1, "{} mails", mails.mails().len());
        let sent = usize::from(first.is_ok()) + usize::from(second.is_ok());
        assert!(sent >= mails.mails().len(), "{first:?} {second:?}");
        world.settle_all().await;
        if sent == 0 {
            assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::OK);
        }
        one.tick().await;
        two.tick().await;
        world.settle_all().await;
        world.expect(iid, "sent").await;
        assert_eq!(mails.mails().len(), 1);
        for outgoing in [&one, &two] {
            let again =
                outgoing.send(iid, SendRequest { retry: true, ..SendRequest::default() }, "c", Through::Api);
            assert!(again.await.is_ok());
        }
        assert_eq!(mails.mails().len(), 1);
    }
}

#[tokio::test]
async fn two_orders_at_once_to_one_instance_send_one_mail() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    let (first, second) = tokio::join!(send(&world, iid, json!({})), send(&world, iid, json!({})));
    assert_eq!((first.0, second.0), (StatusCode::OK, StatusCode::OK));
    assert_eq!(first.1, second.1);
    assert_eq!(mails.mails().len(), 1);
    world.expect_comment(iid, "sent the application");
    world.finish().await;
}

/// What the second instance says while the first one's mail server takes its time.
#[tokio::test]
async fn while_one_instance_sends_another_says_so_and_sends_nothing() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    let other = world.another_instance().await;
    other.engine.delta().await.unwrap();
    mails.set_mood(Mood::SilentAfterMessage);
    let one = world.outgoing.clone();
    let sending = tokio::spawn(async move { one.send(iid, SendRequest::default(), "a", Through::Api).await });
    while mails.mails().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(the_match(&world, iid).await["send"]["outcome"], "under_way");
    assert_eq!(world.get("/health").await.1["send_unknown"]["count"], 0);
    for retry in [false, true] {
        let order = SendRequest { retry, ..SendRequest::default() };
        let refused = other.outgoing.send(iid, order, "b", Through::Api).await.unwrap_err();
        assert!(matches!(refused, OutgoingError::UnderWay(_)), "{refused:?}");
    }
    other.outgoing.tick().await;
    assert_eq!(mails.mails().len(), 1);
    assert!(world.comments(iid)[1].contains("is being sent"), "{:?}", world.comments(iid));
    // What the send writes at its end would bring the data back.
    let refused = other.engine.erase(iid).await.unwrap_err();
    assert!(matches!(refused, ErasureError::BeingSent(_)), "{refused:?}");
    assert!(world.labels(iid).contains(&"job-match/approved".to_owned()));
    sending.abort();
}

/// Both orders were given by somebody who had looked: the first that hands its mail over is not in doubt itself.
#[tokio::test]
async fn two_orders_to_repeat_a_doubtful_mail_repeat_it_once() {
    let (mut world, mails) = desk().await;
    let iid = drafted(&mut world, "1").await;
    mails.set_mood(Mood::GoneAfterMessage);
    assert_eq!(send(&world, iid, json!({})).await.0, StatusCode::BAD_GATEWAY);
    let other = world.another_instance().await;
    other.engine.delta().await.unwrap();
    let retry = || SendRequest { retry: true, ..SendRequest::default() };
    // The second one has looked, and is still asking for the reviewer's address when the first one sends.
    world.sandbox.clear_calls();
    world.sandbox.fault(Fault::new(Method::GET, "/users/", Trouble::Slow { millis: 400 }));
    let two = other.outgoing.clone();
    let late = tokio::spawn(async move { two.send(iid, retry(), "b", Through::Api).await });
    while !world.calls_by_bot().iter().any(|call| call.contains("/users/:id")) {
        tokio::task::yield_now().await;
    }
    mails.set_mood(Mood::SilentAfterMessage);
    let one = world.outgoing.clone();
    let sending = tokio::spawn(async move { one.send(iid, retry(), "a", Through::Api).await });
    while mails.mails().len() < 2 {
        tokio::task::yield_now().await;
    }
    // Whichever was first, the other one sends nothing.
    let (one, two) = (sending.abort_handle(), late.abort_handle());
    let other = tokio::select! { refused = late => refused, refused = sending => refused };
    let refused = other.unwrap().unwrap_err();
    let is_no = matches!(refused, OutgoingError::UnderWay(_) | OutgoingError::Conflict(_));
    assert!(is_no, "{refused:?}");
    assert_eq!(mails.mails().len(), 2);
    one.abort();
    two.abort();
}
