//! The steps of a match read back from GitLab: label events, and our own comments for decisions made through us.

mod replay;

use jiff::{SignedDuration, Timestamp};

use super::reconcile::known;
use super::texts::decision_of;
use super::tracker::application_of;
use super::{Connected, Engine, EngineError, Hint};
use crate::domain::decide::{Act, Reviewers, decide, put_on_at};
use crate::domain::history::Step;
use crate::domain::sending::Sending;
use crate::domain::{Application, State};
use crate::gitlab::events::{LabelAction, LabelEvent, StateEvent};
use crate::gitlab::labels::LabelKind;
use crate::gitlab::notes::Note;
use crate::gitlab::{GitlabError, Issue};
use crate::mirror::{Record, Standing};
use replay::{Replay, Replayed, is_one_moment};

/// The service has looked by then at what was done while it was awake, or twice as long as it pauses between two reads.
const LOOKED_AT_WITHIN: SignedDuration = SignedDuration::from_mins(15);
/// An issue gets its first labels while it is made.
const MADE_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// So many answers one after the other that nobody can read are not about these issues: a page stands before all of GitLab.
const UNREADABLE_IN_A_ROW: u32 = 10;

/// What GitLab knows of a match's life.
pub(super) struct History {
    /// The steps.
    pub(super) steps: Vec<Step>,
    /// Where they led.
    pub(super) state: State,
    /// What people did since the labels last showed exactly one state.
    pub(super) open_acts: Vec<Act>,
    /// The last decision made through the service, if its label was never put on: a kill came between.
    pub(super) open_decision: Option<Step>,
    /// The approval of an issue that people made approved, about which nobody has decided since.
    pub(super) made_approved: Option<Step>,
    /// When `job-match` was put on an issue that was there before.
    pub(super) put_on_at: Option<Timestamp>,
    /// Whether we took `job-match` off last, as we do of a second issue alone.
    pub(super) gave_way: bool,
    /// The last label event.
    pub(super) label_event: u64,
    /// What the tracker's comment says; none where there is none.
    pub(super) application: Option<Application>,
    /// How draft and sending stand.
    pub(super) sending: Sending,
}

/// Reads the history of an issue of ours.
pub(super) async fn read(
    engine: &Engine,
    connected: &Connected,
    issue: &Issue,
) -> Result<History, EngineError> {
    let events = connected.project.label_events(issue.iid).await?;
    if engine.lags_behind(issue, &engine.observed(issue), &events) {
        engine.refuse_a_lagging_copy(issue)?;
    }
    if engine.reviewers(connected).enforced && engine.has_no_event_yet(&engine.observed(issue), None, &events)
    {
        engine.refuse_lagging_events(issue)?;
    }
    let mut notes = Vec::new();
    if issue.user_notes_count > 0 {
        notes = connected.our_notes(issue.iid).await?;
    }
    let names = engine.names();
    let kind = |event: &LabelEvent| event.label.as_ref().and_then(|label| names.kind_of_id(label.id));
    let application = application_of(connected, &notes).map(|read| read.application);
    let sending = engine.sending_of(issue.iid, &notes)?;
    let ours = connected.is_us(issue.author.id);
    let puts_it_on =
        |event: &LabelEvent| event.action == LabelAction::Add && kind(event) == Some(LabelKind::Match);
    let life = Life {
        connected,
        notes: &notes,
        is_adopted: !ours,
        was_put_on: events.iter().any(puts_it_on),
        made_until: issue.created_at.checked_add(MADE_WITHIN).ok().filter(|_| ours),
        sent_since: sending.attempt.as_ref().map(|attempt| attempt.since),
        reviewers: engine.reviewers(connected),
        awake_at: engine.awake_at()?,
        looks_within: engine.looks_within(),
    };
    let follow = |closings: Option<&[StateEvent]>| {
        let mut replay = Replay::new(&life, closings);
        let mut rest = events.as_slice();
        for moment in events.chunk_by(|a, b| is_one_moment(connected, a, b)) {
            for event in moment {
                if let Some(act) = engine.label_act(connected, event) {
                    replay.note_act(event, act);
                }
                match kind(event) {
                    Some(LabelKind::State(state)) => replay.label(state, event),
                    Some(LabelKind::Match) => replay.match_label(event),
                    None if event.label.is_none() => replay.deleted_label(event),
                    _ => {}
                }
            }
            rest = &rest[moment.len()..];
            let next = rest.iter().find_map(|event| match kind(event) {
                Some(LabelKind::State(state)) => Some((state, event)),
                _ => None,
            });
            replay.end_of_moment(moment[0].created_at, next);
        }
        replay.end()
    };
    let mut replayed = follow(None);
    if replayed.needs_closings {
        let closings = connected.project.state_events(issue.iid).await?;
        replayed = follow(Some(&closings));
        life.name_closers(&mut replayed, &closings);
    }
    let acts: Vec<Act> = events.iter().filter_map(|event| engine.label_act(connected, event)).collect();
    let label_event = events.iter().map(|event| event.id).max().unwrap_or(0);
    let of_match = events.iter().rfind(|event| kind(event) == Some(LabelKind::Match));
    let gave_way = !connected.is_a_reviewers_token()
        && of_match
            .is_some_and(|last| last.action == LabelAction::Remove && connected.is_ours(last.user.as_ref()));
    // Its label was never put on where no step was taken since; what was withdrawn meanwhile was staged anew.
    let last = replayed.steps.last().map(|step| step.at);
    let put_on_at = put_on_at(&acts, !ours);
    let since = last.max(put_on_at);
    let open_decision =
        notes.iter().filter_map(decision_of).next_back().filter(|decision| {
            decision.from == replayed.state && since.is_none_or(|since| decision.at > since)
        });
    let is_made_approved = !ours && replayed.steps.is_empty() && replayed.state == State::Approved;
    Ok(History {
        made_approved: engine.approval_in(&events).filter(|_| is_made_approved),
        state: replayed.state,
        steps: replayed.steps,
        open_acts: replayed.open_acts,
        open_decision,
        put_on_at,
        gave_way,
        label_event,
        application,
        sending,
    })
}

impl Engine {
    /// Reads the steps of matches that were taken in without them: after a lost disk, the last part of a rebuild.
    pub(super) async fn read_histories(&self, connected: &Connected) -> Result<(), EngineError> {
        let mut unreadable = 0;
        for iid in self.inner.mirror.iids_without_history()? {
            match self.read_history(connected, iid).await {
                Ok(()) => unreadable = 0,
                Err(error) => {
                    unreadable += u32::from(matches!(error, EngineError::Gitlab(GitlabError::Shape(_))));
                    if unreadable == UNREADABLE_IN_A_ROW {
                        return Err(error);
                    }
                    self.looks_again(iid, error)?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn read_history(&self, connected: &Connected, iid: u64) -> Result<(), EngineError> {
        let issue = match connected.project.issue(iid).await {
            Ok(issue) => issue,
            Err(error) if error.is_gone() => {
                self.hint(iid, Hint::default());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let history = read(self, connected, &issue).await?;
        let _one_at_a_time = self.inner.issues.hold(iid).await;
        self.take_history(connected, &issue, history).await
    }

    /// Takes over what was read of an issue's history. The caller holds the issue's lock.
    pub(super) async fn take_history(
        &self,
        connected: &Connected,
        issue: &Issue,
        history: History,
    ) -> Result<(), EngineError> {
        let iid = issue.iid;
        let Some(mut record) = self.inner.mirror.record(iid)? else { return Ok(()) };
        if record.updated_at != issue.updated_at {
            self.hint(iid, Hint::default());
            return Ok(());
        }
        record.put_on_at = history.put_on_at;
        record.label_event = history.label_event;
        (record.history_known, record.verdict_owed) = (true, false);
        if history.state != record.state && !history.open_acts.is_empty() {
            // What the labels show is what people made of them since, and may be no step: that is looked at now.
            record.state = history.state;
            self.hint(iid, Hint::default());
        }
        record.note_application(history.application.clone());
        record.sending = history.sending.clone();
        if let Some(last) = history.steps.last() {
            record.note_decision(last);
        }
        let waits = |decision: &Step| decision.from == record.state && record.standing == Standing::Live;
        let is_owed = history.open_decision.as_ref().is_some_and(waits);
        if is_owed {
            // Until its label is on, its comment is to be read again.
            record.comments = 0;
        }
        // A decision may be hidden by what a stranger did after it.
        let (observed, known) = (self.observed(issue), known(&record));
        let verdict = decide(known, &observed, &history.open_acts, &self.reviewers(connected));
        let is_hidden = !is_owed && observed.agrees_with(known) && verdict.state != record.state;
        let kept = Record { history_known: !is_hidden, verdict_owed: is_hidden, ..record.clone() };
        self.put_history(&kept, &history)?;
        self.inner.news.notify_waiters();
        if self.may_follow().is_err() {
            return Ok(());
        }
        if is_owed {
            // With what people did after it. Boxed: the future would be large, and its frames deep.
            return Box::pin(self.follow(connected, issue.clone(), record)).await;
        }
        if is_hidden {
            return self.carry_out_verdict(connected, issue.clone(), record, verdict, false).await;
        }
        Ok(())
    }

    /// A time at which the service had surely looked at everything that had been done by then: it staged a match later.
    fn awake_at(&self) -> Result<Option<Timestamp>, EngineError> {
        let within = self.looks_within();
        Ok(self.mirror().last_match_staged()?.and_then(|made| made.checked_sub(within).ok()))
    }

    /// Within what time a service that is awake has looked at what was done.
    fn looks_within(&self) -> SignedDuration {
        let pause = SignedDuration::try_from(self.policy().sync_interval).unwrap_or(SignedDuration::MAX);
        pause.saturating_mul(2).max(LOOKED_AT_WITHIN)
    }
}

/// What is known of a match before its labels are followed.
pub(super) struct Life<'a> {
    pub(super) connected: &'a Connected,
    /// Our own comments.
    pub(super) notes: &'a [Note],
    /// Whether people made it by hand: it is a match from when `job-match` is on, in the state that it has then.
    pub(super) is_adopted: bool,
    /// Whether `job-match` was ever put on after it was made.
    pub(super) was_put_on: bool,
    /// Our issue's own labels were put on by then.
    pub(super) made_until: Option<Timestamp>,
    /// From when on no label leads back from sent: the service itself has sent, or may have.
    pub(super) sent_since: Option<Timestamp>,
    /// Whose decisions count.
    pub(super) reviewers: Reviewers,
    /// The service was awake at this time, and followed or took back what was done before.
    pub(super) awake_at: Option<Timestamp>,
    /// What was done was looked at within that time, where the service was awake.
    pub(super) looks_within: SignedDuration,
}

impl Life<'_> {
    /// Says who closed or reopened where the service only followed.
    fn name_closers(&self, replayed: &mut Replayed, closings: &[StateEvent]) {
        for place in &replayed.followed {
            let before =
                place.checked_sub(1).and_then(|before| replayed.steps.get(before)).map(|step| step.at);
            let Some(step) = replayed.steps.get_mut(*place) else { continue };
            // One before the last step led there, not here.
            let leads_there = |event: &&StateEvent| {
                event.created_at <= step.at
                    && event.closes() == step.to.is_closed()
                    && before.is_none_or(|before| event.created_at >= before)
            };
            let mut fitting = closings.iter().filter(leads_there);
            if let Some(event) = fitting.rfind(|event| !self.connected.is_ours(event.user.as_ref())) {
                step.by = event.user.as_ref().map(|user| user.username.clone()).unwrap_or_default();
                step.at = event.created_at;
            }
        }
    }
}
