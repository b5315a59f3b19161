//! Two issues of one match, from two instances or an answer that was lost: the lower iid stays.

use std::time::Duration;

use super::{Connected, DecisionError, Engine, EngineError, Hint};
use crate::domain::State;
use crate::domain::decide::Observed;
use crate::domain::history::Through;
use crate::gitlab::Issue;
use crate::gitlab::issues::IssueChange;
use crate::mirror::{Record, Standing};

/// How soon a decision about a second issue is carried over again where that did not work.
const CARRIED_OVER_AGAIN: Duration = Duration::from_secs(2);
/// And where GitLab refused it.
const REFUSED: Duration = Duration::from_mins(5);

impl Engine {
    /// Two issues with one identity: the lower iid stays, the later hands over its decision, names the first and goes.
    pub(super) async fn retire(
        &self,
        connected: &Connected,
        issue: Issue,
        observed: &Observed,
        mut record: Record,
        first: &Record,
    ) -> Result<(), EngineError> {
        record.standing = Standing::Duplicate;
        record.history_known = true;
        if observed.is_match || !observed.states.is_empty() {
            self.may_follow()?;
            self.may_write()?;
        }
        let decided = self.decided_about(connected, &issue, observed).await?;
        if let Some(to) = decided.filter(|_| first.standing == Standing::Live) {
            let steps = self.steps_left(first, to)?;
            if !steps.is_empty() {
                self.carry_over(first, issue.iid, steps);
                return Ok(());
            }
        }
        if observed.is_match || !observed.states.is_empty() {
            tracing::warn!(
                iid = issue.iid,
                first = first.iid,
                "issue {} is a second one of match {}",
                issue.iid,
                first.iid
            );
            let text = self.duplicate_text(first.iid)?;
            if !self.has_said(connected, &issue, &text, None).await? {
                connected.comment_if_taken(issue.iid, &text).await?;
            }
            let names = self.names();
            let labels =
                issue.labels.iter().filter(|name| names.kind_of_name(name).is_some()).cloned().collect();
            let close = (!observed.closed).then_some(true);
            let change = IssueChange { remove_labels: labels, close, ..IssueChange::default() };
            let after = self.write(connected, issue, &change).await?;
            record.updated_at = after.updated_at;
            record.comments = after.user_notes_count;
        }
        Ok(self.inner.mirror.put(&record, None)?)
    }

    /// Where somebody who may has brought a second issue, by a label or by closing it.
    async fn decided_about(
        &self,
        connected: &Connected,
        issue: &Issue,
        observed: &Observed,
    ) -> Result<Option<State>, EngineError> {
        let by_hand = || issue.closed_by.as_ref().is_some_and(|user| !connected.is_us(user.id));
        let is_rejected = observed.is_match && observed.closed && by_hand();
        let labelled = observed.states.iter().copied().find(|state| *state != State::Pending);
        let decided = match labelled {
            // Closing what is pending or approved rejects it.
            None | Some(State::Approved) if is_rejected => Some(State::Rejected),
            other => other,
        };
        let Some(to) = decided else { return Ok(None) };
        let reviewers = self.reviewers(connected);
        if !reviewers.enforced {
            return Ok(Some(to));
        }
        let events = connected.project.label_events(issue.iid).await?;
        if self.has_no_event_yet(observed, None, &events) {
            self.refuse_lagging_events(issue)?;
        }
        let who = self.decider(connected, issue, &events, to).await?;
        // What an instance of ours labelled was decided through it.
        let by_us = connected.is_ours(who.as_ref());
        let who = who.map(|user| user.username);
        Ok(Some(to).filter(|_| by_us || reviewers.may(who.as_deref())))
    }

    /// The first issue of a match in the mirror, be it this one or another; those after it count no more from now on, and
    /// are looked at. Two processes on one mirror may have made one each at the same time.
    pub(super) fn first_of(&self, record: &Record) -> Result<Option<Record>, EngineError> {
        let Some(fingerprint) = record.fingerprint() else { return Ok(None) };
        let mut all = self.inner.mirror.records_of(&fingerprint)?.into_iter();
        let first = all.next();
        for mut later in all {
            later.standing = Standing::Duplicate;
            self.inner.mirror.put(&later, None)?;
            self.hint(later.iid, Hint::default());
        }
        Ok(first)
    }

    /// Decides about the first issue of a match what was decided about a later one, and looks at that one again: until
    /// the first shows it, the later one stays as it is. In the first one's own turn, whose lock may be held by somebody
    /// who waits for ours.
    fn carry_over(&self, first: &Record, later: u64, steps: Vec<State>) {
        let (engine, mut from) = (self.clone(), first.state);
        let first = first.iid;
        self.inner.unstoppable.spawn(async move {
            for to in steps {
                let decision = super::Decision {
                    from: Some(from),
                    to,
                    by: "service".to_owned(),
                    through: Through::Service,
                    comment: Some(format!("{} #{later}", engine.policy().language.pick("wie in", "as in"))),
                };
                if let Err(error) = engine.decide(first, decision).await {
                    tracing::warn!(iid = first, %error, "the decision about {later}, a second issue of {first}, could not be carried over yet");
                    let may_pass = matches!(&error, DecisionError::Engine(error) if error.retry_after().is_some());
                    let pause = if may_pass { CARRIED_OVER_AGAIN } else { REFUSED };
                    engine.look_later(later, Hint::default(), pause);
                    return;
                }
                from = to;
            }
            engine.hint(later, Hint::default());
        });
    }

    /// The steps by which the first issue comes to where a later one was decided to be: none where it has a decision of
    /// its own. There is no step from pending to sent, and what broke off between the two is taken up again.
    fn steps_left(&self, first: &Record, to: State) -> Result<Vec<State>, EngineError> {
        Ok(match (first.state, to) {
            (State::Pending, State::Sent) => vec![State::Approved, State::Sent],
            (State::Pending, to) => vec![to],
            (State::Approved, State::Sent) => {
                // Of what the service does by itself nothing else leads to approved.
                let last = self.inner.mirror.steps(first.iid)?.pop();
                let was_carried_over = last.is_some_and(|last| last.through == Through::Service);
                if was_carried_over { vec![State::Sent] } else { Vec::new() }
            }
            _ => Vec::new(),
        })
    }
}
