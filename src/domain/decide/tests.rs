//! What people's acts mean, cell by cell.

use super::*;

use State::{Approved, Pending, Rejected, Sent};

fn known(state: State) -> Known {
    Known { state, withdrawn: false, undo_sent: true }
}

fn seen(states: &[State], closed: bool) -> Observed {
    Observed { is_match: true, states: states.iter().copied().collect(), closed }
}

/// Acts a second apart; those in one slice at the same moment.
fn acts(moments: &[(&str, &[What])]) -> Vec<Act> {
    let start: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
    let mut acts = Vec::new();
    for (second, (by, whats)) in moments.iter().enumerate() {
        let at = start.checked_add(SignedDuration::from_secs(second as i64)).unwrap();
        acts.extend(whats.iter().map(|what| Act { at, by: Some((*by).to_owned()), what: *what }));
    }
    acts
}

fn anyone() -> Reviewers {
    Reviewers::default()
}

fn enforced() -> Reviewers {
    Reviewers { enforced: true, usernames: vec!["anna".into()] }
}

#[test]
fn every_cell_of_the_table_by_an_added_label() {
    for from in State::ALL {
        for to in State::ALL.into_iter().filter(|to| *to != from) {
            let acts = acts(&[("anna", &[What::Add(to)])]);
            let verdict = decide(known(from), &seen(&[from, to], from.is_closed()), &acts, &anyone());
            if from.may_become(to, true) {
                assert_eq!((verdict.state, &verdict.refusal), (to, &None), "{from} to {to}");
                assert_eq!(verdict.steps[0].by.as_deref(), Some("anna"));
                assert_eq!(verdict.repair.remove, [from]);
                assert_eq!(
                    verdict.repair.close,
                    (from.is_closed() != to.is_closed()).then_some(to.is_closed())
                );
            } else {
                assert_eq!(verdict.state, from);
                assert_eq!(verdict.refusal, Some(Refusal::NotAllowed { from, to }));
                assert_eq!(verdict.repair.remove, [to]);
            }
        }
    }
}

#[test]
fn a_label_that_is_put_on_counts_from_then_only_where_it_was_off() {
    let all = acts(&[
        ("anna", &[What::PutBack]),
        ("anna", &[What::Withdraw]),
        ("anna", &[What::Add(Approved)]),
        ("anna", &[What::PutBack]),
    ]);
    for (acts, by_hand, known) in [
        (&all[..], Some(all[3].at), Some(all[3].at)),
        (&all[..3], Some(all[0].at), None),
        (&all[..1], Some(all[0].at), None),
        (&[], None, None),
    ] {
        assert_eq!((put_on_at(acts, true), put_on_at(acts, false)), (by_hand, known));
    }
}

#[test]
fn a_dragged_card_is_a_step_and_needs_at_most_the_closing() {
    let verdict = decide(known(Pending), &seen(&[Approved], false), &[], &anyone());
    assert_eq!((verdict.state, verdict.repair), (Approved, Repair::default()));
    let verdict = decide(known(Pending), &seen(&[Rejected], false), &[], &anyone());
    assert_eq!(verdict.repair, Repair { close: Some(true), ..Repair::default() });
}

#[test]
fn closing_rejects_and_reopening_undoes() {
    for (from, labels) in [(Pending, &[Pending][..]), (Approved, &[Approved]), (Pending, &[])] {
        let verdict = decide(known(from), &seen(labels, true), &acts(&[("anna", &[What::Close])]), &anyone());
        assert_eq!((verdict.state, verdict.refusal, verdict.repair.close), (Rejected, None, None));
    }
    let reopened = acts(&[("anna", &[What::Reopen])]);
    let verdict = decide(known(Rejected), &seen(&[Rejected], false), &reopened, &anyone());
    assert_eq!((verdict.state, verdict.repair.add), (Pending, Some(Pending)));
    let verdict = decide(known(Sent), &seen(&[Sent], false), &reopened, &anyone());
    assert_eq!(verdict.state, Approved);
    let sent_by_us = Known { undo_sent: false, ..known(Sent) };
    let verdict = decide(sent_by_us, &seen(&[Sent], false), &reopened, &anyone());
    assert_eq!(verdict.refusal, Some(Refusal::NotAllowed { from: Sent, to: Approved }));
    assert_eq!(verdict.repair.close, Some(true));
}

#[test]
fn closing_as_approved_with_sent_already_on_is_sent() {
    let acts = acts(&[("anna", &[What::Add(Sent)]), ("anna", &[What::Close])]);
    let verdict = decide(known(Approved), &seen(&[Approved, Sent], true), &acts, &anyone());
    assert_eq!((verdict.state, verdict.repair.remove), (Sent, vec![Approved]));
}

#[test]
fn two_labels_at_once_are_ambiguous_and_one_after_the_other_are_steps() {
    let at_once = acts(&[("anna", &[What::Add(Approved), What::Add(Rejected)])]);
    let all = seen(&[Pending, Approved, Rejected], false);
    let verdict = decide(known(Pending), &all, &at_once, &anyone());
    assert_eq!((verdict.state, verdict.refusal), (Pending, Some(Refusal::Ambiguous)));
    assert_eq!(verdict.repair.remove, [Approved, Rejected]);
    let in_turn = acts(&[("anna", &[What::Add(Approved)]), ("anna", &[What::Add(Rejected)])]);
    assert_eq!(decide(known(Pending), &all, &in_turn, &anyone()).state, Rejected);
    assert_eq!(decide(known(Pending), &all, &[], &anyone()).refusal, Some(Refusal::Ambiguous));
}

#[test]
fn steps_made_while_we_slept_are_followed_in_their_order() {
    let acts = acts(&[("anna", &[What::Add(Approved)]), ("anna", &[What::Add(Sent)])]);
    assert_eq!(decide(known(Pending), &seen(&[Sent], false), &acts, &anyone()).state, Sent);
    let direct = decide(known(Pending), &seen(&[Sent], false), &acts[1..], &anyone());
    assert_eq!(direct.refusal, Some(Refusal::NotAllowed { from: Pending, to: Sent }));
}

#[test]
fn each_step_made_while_we_slept_is_one_and_a_closing_counts_after_the_labels_that_it_left() {
    let drag = |from, to| [What::Add(to), What::Remove(from)];
    let (approved, sent) = (drag(Pending, Approved), drag(Approved, Sent));
    let made =
        acts(&[("anna", &approved), ("eve", &sent), ("eve", &[What::Close]), ("anna", &[What::Reopen])]);
    let path = |observed: Observed, acts: &[Act]| -> Vec<(State, State, Option<String>)> {
        let steps = decide(known(Pending), &observed, acts, &anyone()).steps;
        steps.into_iter().map(|step| (step.from, step.to, step.by)).collect()
    };
    let by = |who: &str| Some(who.to_owned());
    let twice = [(Pending, Approved, by("anna")), (Approved, Sent, by("eve"))];
    assert_eq!(path(seen(&[Sent], false), &made[..4]), twice);
    let back = [twice[0].clone(), twice[1].clone(), (Sent, Approved, by("anna"))];
    assert_eq!(path(seen(&[Sent], false), &made), back);
    let closed = acts(&[("anna", &approved), ("eve", &[What::Close])]);
    assert_eq!(path(seen(&[Approved], true), &closed), [twice[0].clone(), (Approved, Rejected, by("eve"))]);
}

#[test]
fn a_step_is_theirs_who_took_it_though_the_copy_that_was_read_does_not_show_what_came_after() {
    let acts = acts(&[
        ("anna", &[What::Add(Rejected), What::Remove(Pending)]),
        ("eve", &[What::Add(Approved), What::Remove(Rejected)]),
    ]);
    let verdict = decide(known(Pending), &seen(&[Rejected], false), &acts, &anyone());
    let step = &verdict.steps[0];
    assert_eq!((step.to, step.by.as_deref(), step.at), (Rejected, Some("anna"), Some(acts[0].at)));
}

#[test]
fn an_open_issue_without_a_state_label_gets_it_back() {
    let taken_off = acts(&[("anna", &[What::Remove(Approved)])]);
    let verdict = decide(known(Approved), &seen(&[], false), &taken_off, &anyone());
    assert_eq!((verdict.refusal, verdict.repair.add), (Some(Refusal::NoState), Some(Approved)));
    // The label itself was deleted: nobody did anything wrong.
    let verdict = decide(known(Approved), &seen(&[], false), &[], &anyone());
    assert_eq!((verdict.refusal, verdict.repair.add), (None, Some(Approved)));
    let verdict = decide(known(Sent), &seen(&[], true), &[], &anyone());
    assert_eq!((verdict.state, verdict.refusal, verdict.repair.add), (Sent, None, Some(Sent)));
}

#[test]
fn only_reviewers_decide_where_that_is_enforced() {
    let by = |who| acts(&[(who, &[What::Add(Approved)][..])]);
    let both = seen(&[Pending, Approved], false);
    assert_eq!(decide(known(Pending), &both, &by("Anna"), &enforced()).state, Approved);
    let verdict = decide(known(Pending), &both, &by("eve"), &enforced());
    assert_eq!((verdict.state, verdict.steps), (Pending, vec![]));
    assert_eq!(verdict.refusal, Some(Refusal::NoReviewer { who: Some("eve".into()) }));
    let unknown = decide(known(Pending), &both, &[], &enforced());
    assert_eq!(unknown.refusal, Some(Refusal::NoReviewer { who: None }));
    let closed = acts(&[("eve", &[What::Close])]);
    let verdict = decide(known(Pending), &seen(&[Pending], true), &closed, &enforced());
    assert_eq!((verdict.state, verdict.repair.close), (Pending, Some(false)));
    let gone = Observed { is_match: false, ..both };
    let withdrawn = acts(&[("eve", &[What::Withdraw])]);
    assert!(decide(known(Pending), &gone, &withdrawn, &enforced()).repair.add_match);
    assert!(decide(known(Pending), &gone, &withdrawn, &anyone()).withdrawn);
}

#[test]
fn put_back_it_stands_where_its_label_says() {
    let withdrawn = Known { withdrawn: true, ..known(Approved) };
    assert_eq!(decide(withdrawn, &seen(&[Rejected], false), &[], &anyone()).state, Rejected);
    assert_eq!(decide(withdrawn, &seen(&[], false), &[], &anyone()).state, Approved);
    let by = |who| acts(&[(who, &[What::Add(Rejected)][..])]);
    let by_anna = decide(withdrawn, &seen(&[Rejected], false), &by("anna"), &enforced());
    assert_eq!((by_anna.state, by_anna.steps[0].by.as_deref()), (Rejected, Some("anna")));
    let by_eve = decide(withdrawn, &seen(&[Rejected], false), &by("eve"), &enforced());
    assert_eq!(by_eve.refusal, Some(Refusal::NoReviewer { who: Some("eve".into()) }));
    assert_eq!((by_eve.state, by_eve.repair.add), (Approved, Some(Approved)));
    let left = Known { withdrawn: true, undo_sent: false, ..known(Sent) };
    let back = decide(left, &seen(&[Approved], false), &acts(&[("anna", &[What::Add(Approved)])]), &anyone());
    assert_eq!((back.state, back.refusal), (Sent, Some(Refusal::NotAllowed { from: Sent, to: Approved })));
}

#[test]
fn what_is_done_after_job_match_was_put_back_are_steps() {
    let withdrawn = Known { withdrawn: true, ..known(Pending) };
    let later = acts(&[("anna", &[What::PutBack]), ("anna", &[What::Add(Sent)])]);
    let verdict = decide(withdrawn, &seen(&[Sent], false), &later, &anyone());
    assert_eq!(verdict.refusal, Some(Refusal::NotAllowed { from: Pending, to: Sent }));
    assert_eq!(
        (verdict.state, verdict.repair.add, verdict.repair.remove),
        (Pending, Some(Pending), vec![Sent])
    );
    // In one request both are one act.
    let at_once = acts(&[("anna", &[What::PutBack, What::Add(Sent)])]);
    assert_eq!(decide(withdrawn, &seen(&[Sent], false), &at_once, &anyone()).state, Sent);
    // Put back as rejected, and then thought better of.
    let back = [("anna", &[What::Add(Rejected), What::Remove(Pending)][..]), ("anna", &[What::PutBack])];
    let better = acts(&[back[0], back[1], ("eve", &[What::Add(Approved)])]);
    let verdict = decide(withdrawn, &seen(&[Rejected, Approved], false), &better, &anyone());
    assert_eq!((verdict.state, verdict.refusal), (Approved, None));
    let steps = verdict.steps.iter().map(|step| (step.from, step.to, step.by.as_deref()));
    let expected = [(Pending, Rejected, Some("anna")), (Rejected, Approved, Some("eve"))];
    assert_eq!(steps.collect::<Vec<_>>(), expected);
}

#[test]
fn withdrawn_and_put_back_while_we_slept() {
    let back = |before: &[What], while_off: &[What], since: &[What]| {
        acts(&[
            ("anna", before),
            ("anna", &[What::Withdraw]),
            ("anna", while_off),
            ("anna", &[What::PutBack]),
            ("anna", since),
        ])
    };
    // Approved before that, with the old label still on.
    let all = back(&[What::Add(Approved)], &[], &[]);
    assert_eq!(decide(known(Pending), &seen(&[Pending, Approved], false), &all, &anyone()).state, Approved);
    // Labels are moved freely while it is off.
    let all = back(&[], &[What::Add(Sent), What::Remove(Pending)], &[]);
    assert_eq!(decide(known(Pending), &seen(&[Sent], false), &all, &anyone()).state, Sent);
    let all = back(&[], &[], &[What::Add(Sent), What::Remove(Pending)]);
    assert_eq!(decide(known(Pending), &seen(&[Sent], false), &all, &anyone()).state, Pending);
}

#[test]
fn a_putting_back_that_a_stranger_undid_stands_and_names_the_stranger() {
    let withdrawn = Known { withdrawn: true, ..known(Pending) };
    let off = Observed { is_match: false, ..seen(&[Pending], false) };
    let put_back = ("anna", &[What::PutBack][..]);
    let (by_anna, by_bert) = (("anna", &[What::Withdraw][..]), ("bert", &[What::Withdraw][..]));
    for moments in [&[put_back, by_bert][..], &[by_bert, by_anna, put_back, by_bert]] {
        let verdict = decide(withdrawn, &off, &acts(moments), &enforced());
        assert_eq!((verdict.withdrawn, verdict.state), (false, Pending));
        assert_eq!(verdict.refusal, Some(Refusal::NoReviewer { who: Some("bert".into()) }));
        assert_eq!(verdict.repair, Repair { add_match: true, ..Repair::default() });
    }
    for moments in
        [&[put_back, by_anna][..], &[put_back, by_bert, by_anna], &[("bert", &[What::PutBack][..]), by_anna]]
    {
        let verdict = decide(withdrawn, &off, &acts(moments), &enforced());
        assert_eq!((verdict.withdrawn, verdict.refusal, verdict.repair), (true, None, Repair::default()));
    }
}

#[test]
fn where_nobody_took_job_match_off_the_label_was_deleted() {
    let gone = Observed { is_match: false, ..seen(&[Approved], false) };
    let verdict = decide(known(Approved), &gone, &[], &anyone());
    assert!(!verdict.withdrawn && verdict.repair.add_match);
    let taken_off = acts(&[("anna", &[What::Withdraw])]);
    assert!(decide(known(Approved), &gone, &taken_off, &anyone()).withdrawn);
}

#[test]
fn after_an_act_that_is_not_allowed_the_next_one_counts() {
    let in_turn = acts(&[("anna", &[What::Add(Sent)]), ("anna", &[What::Add(Approved)])]);
    let verdict = decide(known(Pending), &seen(&[Approved], false), &in_turn, &anyone());
    assert_eq!((verdict.state, verdict.refusal), (Approved, None));
    let strangers_first = acts(&[("eve", &[What::Add(Approved)]), ("anna", &[What::Add(Rejected)])]);
    let verdict = decide(known(Pending), &seen(&[Approved, Rejected], false), &strangers_first, &enforced());
    assert_eq!((verdict.state, verdict.refusal, verdict.repair.remove), (Rejected, None, vec![Approved]));
    let stranger_last = acts(&[("anna", &[What::Add(Approved)]), ("eve", &[What::Add(Rejected)])]);
    let verdict = decide(known(Pending), &seen(&[Approved, Rejected], false), &stranger_last, &enforced());
    assert_eq!(verdict.state, Approved);
    assert_eq!(verdict.refusal, Some(Refusal::NoReviewer { who: Some("eve".into()) }));
}

#[test]
fn a_closing_and_the_labels_that_follow_it_are_one_act() {
    let start: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
    let act = |millis, what| Act {
        at: start.checked_add(SignedDuration::from_millis(millis)).unwrap(),
        by: Some("anna".to_owned()),
        what,
    };
    let decided = |from, seen_now: &Observed, acts: &[Act]| {
        let verdict = decide(known(from), seen_now, acts, &anyone());
        (verdict.state, verdict.refusal)
    };
    // `sent` put on and closed in one request: GitLab closes first.
    let closed_as_sent = [act(0, What::Close), act(40, What::Add(Sent))];
    assert_eq!(decided(Approved, &seen(&[Approved, Sent], true), &closed_as_sent), (Sent, None));
    // A card dragged out of the Closed column: a step from the old state.
    let to_pending = [act(0, What::Reopen), act(40, What::Add(Pending))];
    let refused = Refusal::NotAllowed { from: Sent, to: Pending };
    assert_eq!(decided(Sent, &seen(&[Pending], false), &to_pending), (Sent, Some(refused)));
    let to_sent = [act(0, What::Reopen), act(40, What::Remove(Rejected)), act(40, What::Add(Sent))];
    let refused = Refusal::NotAllowed { from: Rejected, to: Sent };
    assert_eq!(decided(Rejected, &seen(&[Sent], false), &to_sent), (Rejected, Some(refused)));
    // Approved, and then thought better of: two acts.
    let then_closed = [act(0, What::Add(Approved)), act(900, What::Close)];
    assert_eq!(decided(Pending, &seen(&[Pending, Approved], true), &then_closed), (Rejected, None));
}

#[test]
fn whatever_is_seen_the_repair_leads_to_one_label_and_a_second_look_finds_nothing() {
    let subsets = (0..16u8).map(|bits| {
        State::ALL.into_iter().enumerate().filter(move |(i, _)| bits >> i & 1 == 1).map(|(_, s)| s).collect()
    });
    for labels in subsets.collect::<Vec<Vec<State>>>() {
        for from in State::ALL {
            for closed in [true, false] {
                for reviewers in [anyone(), enforced()] {
                    let observed = seen(&labels, closed);
                    let verdict = decide(known(from), &observed, &[], &reviewers);
                    let after = apply(&observed, &verdict.repair);
                    let now = Known { state: verdict.state, ..known(from) };
                    assert!(after.agrees_with(now), "{from} {labels:?} {closed}");
                    assert_eq!(decide(now, &after, &[], &reviewers).repair, Repair::default());
                }
            }
        }
    }
}

fn apply(observed: &Observed, repair: &Repair) -> Observed {
    let mut after = observed.clone();
    after.is_match |= repair.add_match;
    after.states.extend(repair.add);
    after.states.retain(|label| !repair.remove.contains(label));
    after.closed = repair.close.unwrap_or(after.closed);
    after
}

#[test]
fn where_the_label_of_matches_is_missing_what_was_decided_counts_all_the_same() {
    let off = Observed { is_match: false, ..seen(&[Pending, Approved], false) };
    // The label itself was deleted.
    let approved = acts(&[("anna", &[What::Add(Approved)])]);
    let verdict = decide(known(Pending), &off, &approved, &anyone());
    assert_eq!((verdict.state, verdict.withdrawn, &verdict.refusal), (Approved, false, &None));
    assert_eq!((verdict.repair.add_match, verdict.repair.remove), (true, vec![Pending]));
    assert_eq!(verdict.steps[0].by.as_deref(), Some("anna"));
    // A stranger took it off.
    let hidden = acts(&[("anna", &[What::Add(Approved)]), ("eve", &[What::Withdraw])]);
    let verdict = decide(known(Pending), &off, &hidden, &enforced());
    assert_eq!((verdict.state, verdict.withdrawn), (Approved, false));
    assert_eq!(verdict.refusal, Some(Refusal::NoReviewer { who: Some("eve".to_owned()) }));
    assert!(verdict.repair.add_match);
}
