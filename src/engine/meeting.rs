//! An issue that the mirror does not know: one of ours after a lost disk, a second one of a match, one made by hand.

use jiff::{SignedDuration, Timestamp};

use super::reconcile::known;
use super::stage::new_record;
use super::{Connected, Engine, EngineError, Hint, history};
use crate::domain::decide::{Observed, Refusal, Repair, decide};
use crate::domain::history::Through;
use crate::domain::identity::Fingerprint;
use crate::domain::{JobMatch, State};
use crate::gitlab::Issue;
use crate::gitlab::events::{LabelAction, LabelEvent};
use crate::gitlab::issue_text;
use crate::gitlab::issues::IssueChange;
use crate::gitlab::labels::LabelKind;
use crate::mirror::{Record, Standing};

/// How soon a decision about a second issue is carried over again where that did not work.
const CARRIED_OVER_AGAIN: SignedDuration = SignedDuration::from_secs(2);

impl Engine {
    /// An issue that the mirror does not know, or knows as gone, ignored or a duplicate.
    pub(super) async fn meet(&self, connected: &Connected, issue: Issue) -> Result<(), EngineError> {
        if self.is_by_an_earlier_bot(connected, &issue).await? {
            return Ok(());
        }
        let observed = self.observe(&connected.project, &issue).await?;
        let ours = connected.is_us(issue.author.id);
        let staged = issue_text::read_back(&issue.description).filter(|_| ours);
        match staged {
            Some(staged) => {
                let fingerprint = Fingerprint::of(&staged.job, staged.nonce);
                let first = self.inner.mirror.record_of(&fingerprint)?.filter(|first| first.iid != issue.iid);
                let mut record = new_record(&issue, staged.job, Some(staged.nonce), State::Pending);
                match first {
                    Some(first) if first.iid < issue.iid => {
                        self.retire(connected, issue, &observed, record, &first).await
                    }
                    Some(later) => {
                        // The later one was met first: it gives way to this one.
                        self.take_in(connected, &issue, &observed, &mut record).await?;
                        self.hint(later.iid, Hint::default());
                        let mut later = later;
                        later.standing = Standing::Duplicate;
                        self.inner.mirror.put(&later, None)?;
                        Ok(())
                    }
                    None => self.take_in(connected, &issue, &observed, &mut record).await,
                }
            }
            // The settings issue is no match, whatever people put on it.
            None if ours && self.is_about_settings(connected, &issue) => Ok(()),
            None if observed.is_match => self.adopt(connected, issue, &observed, ours).await,
            None => self.is_no_match(issue.iid),
        }
    }

    /// Who brought an issue that was made by hand into this state.
    async fn decider(
        &self,
        connected: &Connected,
        issue: &Issue,
        events: &[LabelEvent],
        state: State,
    ) -> Result<Option<String>, EngineError> {
        let is_it = |event: &&LabelEvent| {
            event.action == LabelAction::Add && self.kind_of(event) == Some(LabelKind::State(state))
        };
        if let Some(event) = events.iter().rev().find(is_it) {
            return Ok(event.user.as_ref().map(|user| user.username.clone()));
        }
        // No such label: it was closed by hand.
        let events = connected.project.state_events(issue.iid).await?;
        let last = events.last().and_then(|event| event.user.as_ref()).or(issue.closed_by.as_ref());
        Ok(last.map(|user| user.username.clone()))
    }

    /// Labels that somebody had put on who may not are off again.
    fn is_no_match(&self, iid: u64) -> Result<(), EngineError> {
        let ignored = self.inner.mirror.record(iid)?.filter(|record| record.standing == Standing::Ignored);
        if let Some(mut record) = ignored {
            record.standing = Standing::Gone;
            self.inner.mirror.put(&record, None)?;
        }
        Ok(())
    }

    /// Takes in an issue of ours that the mirror does not know: after a lost disk, or from another instance.
    pub(super) async fn take_in(
        &self,
        connected: &Connected,
        issue: &Issue,
        observed: &Observed,
        record: &mut Record,
    ) -> Result<(), EngineError> {
        let mut labels = observed.states.iter();
        let settled = match (labels.next(), labels.next()) {
            (Some(only), None) if only.is_closed() == observed.closed => Some(*only),
            _ => None,
        };
        // An issue that nobody touched since it was made has no history to be read.
        let untouched = settled == Some(State::Pending)
            && issue.updated_at == issue.created_at
            && issue.user_notes_count == 0;
        record.history_known = untouched;
        let is_news = self.is_fresh(record, record.created_at)?;
        // Of news every step is told in its turn; what is old may have its history read later.
        if let Some(state) = settled.filter(|_| observed.is_match && (untouched || !is_news)) {
            record.state = state;
            if is_news {
                self.inner.mirror.put_new(record)?;
            } else {
                self.inner.mirror.put(record, None)?;
            }
            return Ok(());
        }
        let history = history::read(self, connected, issue).await?;
        record.state = history.state;
        record.application.clone_from(&history.application);
        record.label_event = history.label_event;
        record.history_known = true;
        record.sending = history.sending.clone();
        if let Some(last) = history.steps.last() {
            (record.decided_by, record.decided_at) = (Some(last.by.clone()), Some(last.at));
        }
        if !observed.is_match {
            record.standing = Standing::Withdrawn;
        }
        let raise = self.raises(record, &history.steps)?;
        self.inner.mirror.put_whole(record, &history.steps, raise)?;
        let mut observed = observed.clone();
        if observed.states.len() == 1 && record.state.is_closed() && !observed.closed {
            // Never closed, or reopened by somebody? Both look the same now; the label wins unless they reopened it.
            let closings = connected.project.state_events(issue.iid).await?;
            observed.closed = closings.last().is_none_or(|last| last.state != "reopened");
        }
        let mut verdict = decide(known(record), &observed, &history.open_acts, &self.reviewers(connected));
        verdict.repair = if verdict.withdrawn {
            verdict.repair
        } else {
            Repair::towards(verdict.state, &self.observed(issue))
        };
        self.act(connected, issue.clone(), record.clone(), verdict).await
    }

    /// Two issues with one identity: the lower iid stays, the later hands over its decision, names the first and goes.
    async fn retire(
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
        }
        let decided = observed.states.iter().copied().find(|state| *state != State::Pending);
        if let Some(to) = decided.filter(|_| first.state == State::Pending) {
            self.carry_over(first.iid, issue.iid, to);
            return Ok(());
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
                connected.project.comment(issue.iid, &text).await?;
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

    /// Decides about the first issue of a match what was decided about a later one, and looks at that one again: until
    /// the first shows it, the later one stays as it is. In the first one's own turn, whose lock may be held by somebody
    /// who waits for ours.
    fn carry_over(&self, first: u64, later: u64, to: State) {
        let engine = self.clone();
        tokio::spawn(async move {
            // There is no step from pending to sent.
            let steps = if to == State::Sent { vec![State::Approved, State::Sent] } else { vec![to] };
            let mut from = State::Pending;
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
                    let soon = engine.inner.clock.now().checked_add(CARRIED_OVER_AGAIN);
                    engine.inner.queue.push_later(later, Hint::default(), soon.unwrap_or(Timestamp::MAX));
                    return;
                }
                from = to;
            }
            engine.hint(later, Hint::default());
        });
    }

    /// An issue that a person made by hand.
    async fn adopt(
        &self,
        connected: &Connected,
        issue: Issue,
        observed: &Observed,
        ours: bool,
    ) -> Result<(), EngineError> {
        let names = self.names();
        let events = connected.project.label_events(issue.iid).await?;
        let put_on = events.iter().rev().find(|event| {
            let kind = event.label.as_ref().and_then(|label| names.kind_of_id(label.id));
            event.action == LabelAction::Add && kind == Some(LabelKind::Match)
        });
        let who = put_on.map_or(Some(issue.author.id), |event| event.user.as_ref().map(|user| user.id));
        let may = match who {
            Some(user) if connected.is_us(user) => ours,
            Some(user) => self.may_adopt(&connected.project, user).await?,
            None => false,
        };
        let mut record = new_record(&issue, JobMatch::titled(issue.title.clone()), None, State::Pending);
        record.label_event = events.iter().map(|event| event.id).max().unwrap_or(0);
        if !may {
            record.standing = Standing::Ignored;
            return Ok(self.inner.mirror.put(&record, None)?);
        }
        let mut labels = observed.states.iter();
        record.state = match (labels.next(), labels.next()) {
            (Some(only), None) => *only,
            (None, _) if observed.closed => State::Rejected,
            _ => State::Pending,
        };
        let decider = self.decider(connected, &issue, &events, record.state).await?;
        let reviewers = self.reviewers(connected);
        if record.state != State::Pending && !reviewers.may(decider.as_deref()) {
            record.state = State::Pending;
            let refusal = Refusal::NoReviewer { who: decider };
            self.explain(connected, &issue, &record, &refusal).await?;
        }
        // What we keep in comments is read with the history.
        record.history_known = issue.user_notes_count == 0;
        let repair = Repair::towards(record.state, observed);
        let after = self.write(connected, issue, &self.change_for(&repair)).await?;
        record.updated_at = after.updated_at;
        tracing::info!(iid = record.iid, state = %record.state, "issue {} is adopted", record.iid);
        self.tell_of_adoption(connected, record, &events).await
    }
}
